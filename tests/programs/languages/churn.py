"""Clean requests from eight threads while code comes and goes, profilers look at all frames and the collector runs: churn.py URL COUNT."""
import gc
import sys
import threading
import urllib.request

url, count = sys.argv[1], int(sys.argv[2])
sizes, done = [], threading.Event()


def work(number):
    for i in range(count):
        code = f"def step_{i}(depth):\n" + "    pass\n" * (i % 40)
        code += "    return step_%d(depth - 1) if depth else urlopen(url).read()\n" % i
        space = {"urlopen": urllib.request.urlopen, "url": url}
        exec(compile(code, f"/srv/generated/{number}/{i}.py", "exec"), space)
        sizes.append(len(space[f"step_{i}"](i % 60)))
        space.clear()


def look():
    while not done.is_set():
        for frame in sys._current_frames().values():
            while frame:
                frame.f_lineno, frame.f_locals
                frame = frame.f_back
        gc.collect()
        done.wait(0.005)


watcher = threading.Thread(target=look)
watcher.start()
workers = [threading.Thread(target=work, args=(number,)) for number in range(8)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
done.set()
watcher.join()
print(len(sizes), set(sizes))
