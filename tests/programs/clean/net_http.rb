# A clean client on Ruby's net/http: a kept connection, a streamed body, single requests.
require 'net/http'
require 'openssl'

base = URI(ARGV[0])
options = { use_ssl: base.scheme == 'https', verify_mode: OpenSSL::SSL::VERIFY_NONE }
Net::HTTP.start(base.host, base.port, **options) do |http|
  %w[/bytes/262144 /chunked/100000 /status/404 /status/204 /bytes/9].each do |path|
    response = http.get(path)
    puts "#{path} #{response.code} #{response.body.to_s.bytesize}"
  end
  size = 0
  http.request_get('/bytes/1000000') { |response| response.read_body { |part| size += part.bytesize } }
  puts "streamed #{size}"
  puts "head #{http.head('/bytes/1000').code}"
end
Net::HTTP.start(base.host, base.port, **options) { |http| puts http.get('/close/50000').body.bytesize }
