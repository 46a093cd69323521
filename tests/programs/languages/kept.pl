#!/usr/bin/perl
# Keeps answers unread, asked for in every way that Perl calls code: kept.pl WAY,WAY... http://HOST:PORT/PATH COUNT
# Prints for each way what Perl itself says of the stack at the line that asks: [file, line, function] from the innermost on.
use strict;
use warnings;
use IO::Socket::INET;
use POSIX ();

my ($ways, $url, $count) = @ARGV;
my ($host, $port, $path) = $url =~ m{^http://([^:/]+):(\d+)(/.*)$} or die "URL\n";
my @kept;
$| = 1;

# The stack of who called the caller of this, without blocks of eval, which are no functions of their own.
sub stack_of {
    my @at = @_;
    my @frames;
    for (my $level = 1; my @caller = caller $level; $level++) {
        next if $caller[3] eq '(eval)' && !defined $caller[6];
        push @frames, [@at, $caller[3]];
        @at = @caller[1, 2];
    }
    return join ' ', map { join '|', @$_ } @frames, [@at, '(main)'];
}

# One line, so that what is said of it is of the moment that sends.
sub ask {
    my $socket = IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port) or die "connect: $@\n";
    my $text = "GET $path HTTP/1.1\r\nHost: $host:$port\r\n\r\n";
    my $told = stack_of(__FILE__, __LINE__); syswrite $socket, $text or die; # the request
    push @kept, $socket;
    sysread $socket, my $head, 4096;
    print "$told\n";
    return 1;
}

package Client {
    sub new { return bless {}, shift }
    sub fetch { my ($self, @rest) = @_; return main::ask(@rest) }
    sub DESTROY { main::ask() if $_[0]{asks} }
    sub AUTOLOAD { return main::ask() }
    use overload '+' => sub { main::ask(); return 1 }, '<=>' => sub { return 0 };
}

package Tied {
    sub TIESCALAR { return bless [], shift }
    sub FETCH { main::ask(); return 1 }
}

sub named { return ask() }
sub recursive { my $n = shift; return $n ? recursive($n - 1) : ask() }
*other = \&named;

my %ways = (
    sub => sub { named() },
    alias => sub { other() },
    method => sub { Client->new->fetch(1) },
    byname => sub { my $name = 'fetch'; Client->$name },
    autoload => sub { Client->nowhere },
    recursive => sub { recursive(5) },
    block => sub {
        eval {
            eval { named(); 1 } or die;
            1;
        } or die $@;
    },
    text => sub { eval "\n\nsub { named() }->();\n1" or die $@ },
    file => sub { eval "#line 7 \"made.pl\"\nnamed(); 1" or die $@ },
    sort => sub { my @sorted = sort { named() if $a != $b; $a <=> $b } 2, 1 },
    bysub => sub { my $by = sub { named() if $a != $b; $a <=> $b }; my @sorted = sort $by 2, 1 },
    map => sub { my @all = map { named() } 1 },
    first => sub { require List::Util; List::Util::first(sub { named() }, 1) },
    pattern => sub { "a" =~ /a(?{ named() })/ },
    replace => sub { (my $text = "a") =~ s/a/named()/e },
    overload => sub { my $sum = Client->new + 1 },
    tied => sub { tie my $value, 'Tied'; my $got = $value },
    destroy => sub { { my $client = Client->new; $client->{asks} = 1 } 1 },
    handler => sub { local $SIG{__WARN__} = sub { named() }; warn "this\n" },
    signal => sub { local $SIG{USR1} = sub { named() }; kill USR1 => $$ },
    dying => sub { local $SIG{__DIE__} = sub { named() }; eval { die "that\n" } },
    jump => sub { my $over = sub { goto &named }; $over->() },
    local => sub { my sub inner { named() } inner() },
    lines => sub {
        my $none = 0;
        if ($none) { $none++ }
        elsif ($none == 1) { $none++ }
        elsif (named()) { $none = 2 }
    },
    argument => sub {
        my $none = 0;
        return 1
            + (
                $none
                    ? 1
                    : named()
            );
    },
    loops => sub {
        my $done = 0;
        until ($done) {
            for my $n (1 .. 2) {
                next if $n == 1;
                $done = named(),
                    $done++;
            }
        }
    },
    deep => sub { my $call; $call = sub { my $n = shift; $n ? eval { $call->($n - 1) } : named() }; $call->(30) },
    threads => sub {
        require threads;
        pipe my $in, my $out or die;
        threads->create(sub { named(); syswrite $out, "."; sleep 100 })->detach;
        sysread $in, my $done, 1;
    },
);

for my $way (split /,/, $ways) {
    for (1 .. $count) {
        $ways{$way}->();
    }
}
POSIX::_exit(0);
