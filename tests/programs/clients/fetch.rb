# Ruby's Net::HTTP: fetch.rb net-http URL read|keep COUNT
require 'net/http'
require 'openssl'

_, url, way, count = ARGV
uri = URI(url)
kept = []

open_one = lambda do
  http = Net::HTTP.new(uri.host, uri.port)
  http.use_ssl = uri.scheme == 'https'
  http.verify_mode = OpenSSL::SSL::VERIFY_NONE
  http.start
end

count.to_i.times do
  http = open_one.call
  request = Net::HTTP::Get.new(uri)
  if way == 'read'
    puts http.request(request).body.bytesize
    http.finish
  else
    # A block that is never finished: the fiber stays where it is, in the middle of the response.
    fiber = Fiber.new { http.request(request) { |answer| Fiber.yield answer.code } }
    puts fiber.resume
    kept << [http, fiber]
  end
end
$stdout.flush
exit!(0) # the interpreter's orderly end would close what is kept
