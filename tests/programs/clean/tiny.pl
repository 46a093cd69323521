# A clean client on HTTP::Tiny: kept alive, every response read.
use strict;
use warnings;
use HTTP::Tiny;

my $base  = shift;
my $agent = HTTP::Tiny->new( keep_alive => 1, verify_SSL => 0 );
for my $path ( '/bytes/262144', '/chunked/100000', '/close/50000', '/status/404', '/status/204', '/redirect' ) {
    my $response = $agent->get( $base . $path );
    printf "%s %s %d\n", $path, $response->{status}, length( $response->{content} // '' );
}
my $response = $agent->post( $base . '/bytes/64', { content => 'z' x 50000 } );
printf "post %s %d\n", $response->{status}, length $response->{content};
