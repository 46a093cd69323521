# Reads the head of COUNT responses and keeps the connections: through a class's method, a block and a module of its own.
require "socket"
require "uri"

class Client
  def initialize(url)
    @url = URI(url)
    @kept = []
  end

  def fetch
    socket = TCPSocket.new(@url.host, @url.port)
    socket.write("GET #{@url.path} HTTP/1.1\r\nHost: #{@url.host}:#{@url.port}\r\n\r\n") # the request
    @kept << [socket, socket.gets]
  end
end

def work(client, count)
  count.times { client.fetch }
end

client = Client.new(ARGV[0])
work(client, ARGV[1].to_i)
puts "done"
$stdout.flush
exit!(0)
