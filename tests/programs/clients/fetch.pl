#!/usr/bin/perl
# Perl's HTTP clients: fetch.pl LWP|HTTP::Tiny|Net::HTTP URL read|keep COUNT
use strict;
use warnings;
use POSIX ();

my ($client, $url, $way, $count) = @ARGV;
my ($scheme, $host, $port, $path) = $url =~ m{^(https?)://([^:/]+):(\d+)(/.*)$} or die "URL\n";
my @kept;
$| = 1;

sub with_lwp {
    require LWP::UserAgent;
    my $agent = LWP::UserAgent->new(keep_alive => 1, ssl_opts => {verify_hostname => 0, SSL_verify_mode => 0});
    print length($agent->get($url)->content), "\n";
}

sub with_tiny {
    require HTTP::Tiny;
    print length(HTTP::Tiny->new(verify_SSL => 0)->get($url)->{content}), "\n";
}

# The socket itself, as LWP has it: asks, reads the head, and keeps the rest unread.
sub keep {
    my $class = $scheme eq 'https' ? 'Net::HTTPS' : 'Net::HTTP';
    eval "require $class" or die $@;
    my $socket = $class->new(Host => $host, PeerPort => $port, SSL_verify_mode => 0) or die "connect: $@\n";
    $socket->write_request(GET => $path, Host => "$host:$port");
    print +($socket->read_response_headers)[0], "\n";
    push @kept, $socket;
}

for (1 .. $count) {
    if ($way eq 'keep') { keep() }
    elsif ($client eq 'LWP') { with_lwp() }
    else { with_tiny() }
}
POSIX::_exit(0); # the interpreter's orderly end would close what is kept
