# Net::HTTP whose block never reads the body: COUNT responses are kept.
require "net/http"

def fetch(url)
  uri = URI(url)
  http = Net::HTTP.new(uri.host, uri.port)
  http.use_ssl = uri.scheme == "https"
  http.verify_mode = OpenSSL::SSL::VERIFY_NONE if http.use_ssl?
  http.start
  http.request_get(uri.path) do |response| # the request
    $kept << http << response
    throw :got_it
  end
end

$kept = []
ARGV[1].to_i.times { catch(:got_it) { fetch(ARGV[0]) } }
puts "done"
$stdout.flush
exit!(0)
