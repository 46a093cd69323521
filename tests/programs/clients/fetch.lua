-- LuaSocket: fetch.lua socket URL read|keep COUNT
local http = require("socket.http")
local socket = require("socket")
local ltn12 = require("ltn12")

local _, url, way, count = table.unpack(arg)
local host, port, path = url:match("^http://([^:/]+):(%d+)(/.*)$")
local kept = {}

for _ = 1, tonumber(count) do
  if way == "read" then
    local parts = {}
    http.request({ url = url, sink = ltn12.sink.table(parts) })
    print(#table.concat(parts))
  else
    local connection = assert(socket.connect(host, tonumber(port)))
    connection:send("GET " .. path .. " HTTP/1.1\r\nHost: " .. host .. ":" .. port .. "\r\n\r\n")
    print(connection:receive("*l"))
    kept[#kept + 1] = connection
  end
end
io.stdout:flush()
os.exit(0, false)
