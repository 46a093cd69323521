/*
 * Clean requests from eight threads while classes come and go, code is compiled and given up, profilers look at all stacks and the
 * collector runs: java Churn URL COUNT.
 */
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.URL;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.ToIntFunction;

public class Churn {
    static volatile boolean done;

    /* Loaded anew for each request. */
    public static class Work implements ToIntFunction<String> {
        int deep(String url, int depth) throws Exception {
            if (depth > 0) return deep(url, depth - 1);
            HttpURLConnection connection = (HttpURLConnection) new URL(url).openConnection();
            int size = 0;
            byte[] buffer = new byte[4096];
            try (InputStream in = connection.getInputStream()) {
                for (int n; (n = in.read(buffer)) > 0;) size += n;
            }
            return size;
        }

        @Override
        public int applyAsInt(String url) {
            try {
                return deep(url, (int) (System.nanoTime() % 60));
            } catch (Exception e) {
                throw new RuntimeException(e);
            }
        }
    }

    static class Loader extends ClassLoader {
        Loader() {
            super(Churn.class.getClassLoader());
        }

        @Override
        protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
            if (!name.equals("Churn$Work")) return super.loadClass(name, resolve);
            try (InputStream in = Churn.class.getResourceAsStream("Churn$Work.class")) {
                byte[] bytes = new byte[65536];
                int size = 0;
                for (int n; (n = in.read(bytes, size, bytes.length - size)) > 0;) size += n;
                return defineClass(name, bytes, 0, size);
            } catch (java.io.IOException e) {
                throw new ClassNotFoundException(name, e);
            }
        }
    }

    @SuppressWarnings("unchecked")
    static int once(String url) throws Exception {
        Class<?> work = new Loader().loadClass("Churn$Work");
        return ((ToIntFunction<String>) work.getDeclaredConstructor().newInstance()).applyAsInt(url);
    }

    public static void main(String[] arguments) throws Exception {
        int count = Integer.parseInt(arguments[1]);
        AtomicInteger requests = new AtomicInteger();
        Set<Integer> sizes = java.util.Collections.synchronizedSet(new TreeSet<>());
        Thread[] workers = new Thread[8];
        Thread watcher = new Thread(() -> {
            while (!done) {
                Thread.getAllStackTraces();
                System.gc();
            }
        });
        watcher.start();
        for (int i = 0; i < workers.length; i++) {
            workers[i] = new Thread(() -> {
                try {
                    for (int n = 0; n < count; n++) {
                        sizes.add(once(arguments[0]));
                        requests.incrementAndGet();
                    }
                } catch (Exception e) {
                    e.printStackTrace();
                }
            });
            workers[i].start();
        }
        for (Thread worker : workers) worker.join();
        done = true;
        watcher.join();
        System.out.println(requests + " " + sizes);
    }
}
