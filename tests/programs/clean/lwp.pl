# A clean client on LWP: a connection cache, every response read.
use strict;
use warnings;
use LWP::UserAgent;

my $base  = shift;
my $agent = LWP::UserAgent->new( keep_alive => 4, ssl_opts => { verify_hostname => 0, SSL_verify_mode => 0 } );
for my $path ( '/bytes/262144', '/chunked/100000', '/close/50000', '/status/404', '/status/204', '/redirect' ) {
    my $response = $agent->get( $base . $path );
    printf "%s %s %d\n", $path, $response->code, length $response->content;
}
