-- Keeps answers unread, asked for in every way that Lua calls code: kept.lua WAY,WAY... HOST PORT PATH COUNT
-- Prints for each request what debug.getinfo says of the stack at the line that asks: FILE|LINE|NAME from the innermost on.
local socket = require("socket")
local load = loadstring or load
local unpack = unpack or table.unpack

local ways, host, port, path, count = unpack(arg)
local kept, below = {}, {}

local function frames_from(level, out)
  for at = level, math.huge do
    local info = debug.getinfo(at, "nSl")
    if not info then return out end
    if info.currentline > 0 then
      local file = info.source:match("^[@=](.*)") or info.short_src
      local name = info.what == "main" and "main chunk" or info.name or "<anonymous>"
      out[#out + 1] = file .. "|" .. info.currentline .. "|" .. name
    end
  end
end

-- The stack of who asks, then those of who resumed it.
local function stack()
  local out = frames_from(3, {})
  for i = #below, 1, -1 do
    for _, frame in ipairs(below[i]) do out[#out + 1] = frame end
  end
  return table.concat(out, " ")
end

local function go(co)
  below[#below + 1] = frames_from(2, {}) coroutine.resume(co) -- one line again
  below[#below] = nil
end

-- One line, so that what is said of it is of the moment that sends.
local function ask()
  local connection = assert(socket.connect(host, tonumber(port)))
  local text = "GET " .. path .. " HTTP/1.1\r\nHost: " .. host .. ":" .. port .. "\r\n\r\n"
  print(stack()) connection:send(text) -- the request
  kept[#kept + 1] = connection
  connection:receive("*l")
  return 1
end

function named() local r = ask() return r end
local function recursive(n) local r
  if n > 0 then r = recursive(n - 1) else r = ask() end return r end
local Client = {}
Client.__index = Client
function Client:fetch() local r = ask() return r end
setmetatable(Client, { __call = function() local r = ask() return r end })
local tied = setmetatable({}, { __index = function() local r = ask() return r end, __add = function() local r = ask() return r end })

local all = {
  fn = function() named() end,
  method = function() local client = setmetatable({}, Client) client:fetch() end,
  callable = function() Client() end,
  recursive = function() recursive(5) end,
  protected = function() assert(pcall(function() assert(pcall(named)) end)) end,
  handler = function() xpcall(function() error("that") end, function() named() end) end,
  text = function() assert(load("\n\nnamed()"))() end,
  file = function() assert(load("\n\nnamed()", "@made.lua"))() end,
  sort = function() local done
    table.sort({ 2, 1 }, function(a, b) if not done then done = true named() end return a < b end) end,
  gsub = function() local _ = ("a"):gsub("a", function() named() end) end,
  index = function() local _ = tied.field end,
  add = function() local _ = tied + 1 end,
  coroutine = function() go(coroutine.create(named)) end,
  nested = function() go(coroutine.create(function() go(coroutine.create(named)) end)) end,
  waited = function()
    local co = coroutine.create(function() coroutine.yield() named() end)
    go(co) go(co)
  end,
  failed = function()
    local co = coroutine.create(function() pcall(function() coroutine.yield() error("this") end) named() end)
    go(co) go(co)
  end,
  ended = function() go(coroutine.create(function() error("those") end)) named() end,
  tail = function() local function over() return named() end over() end,
  iterator = function() for _ in function(_, last) if not last then named() return 1 end end do end end,
}

for way in ways:gmatch("[^,]+") do
  for _ = 1, tonumber(count) do all[way]() end
end
io.stdout:flush()
os.exit(0, false)
