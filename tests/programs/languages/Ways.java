/*
 * Requests from all kinds of Java code, each kept unread: java Ways WAY,... HOST PORT COUNT. Prints what the JVM says of each: the
 * stack at the line that sends it, "WAY function:line function:line ...".
 */
import java.io.IOException;
import java.io.OutputStream;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.lang.reflect.Proxy;
import java.net.Socket;
import java.security.AccessController;
import java.security.PrivilegedAction;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.function.Consumer;

public class Ways implements Consumer<String> {
    static final List<Object> kept = Collections.synchronizedList(new ArrayList<>());
    static String host;
    static int port, spun;
    static volatile int sink;

    static void tell(String way, Throwable here) {
        StringBuilder text = new StringBuilder(way);
        for (StackTraceElement e : here.getStackTrace())
            text.append(' ').append(e.getClassName()).append('.').append(e.getMethodName()).append(':').append(e.getLineNumber());
        System.out.println(text.toString());
    }

    static void send(String way) {
        try {
            Socket socket = new Socket(host, port);
            kept.add(socket);
            OutputStream out = socket.getOutputStream();
            byte[] head = ("GET /bytes/262144?" + way + " HTTP/1.1\r\nHost: localhost:" + port + "\r\n\r\n").getBytes("ascii");
            out.write(head); tell(way, new Throwable()); // one line
            socket.getInputStream().read(new byte[512]);
        } catch (IOException e) {
            throw new RuntimeException(e);
        }
    }

    /* Compiled, and inlined into each other, after some thousand calls that do nothing. */
    static int small(String way, boolean now) {
        if (now) send(way);
        return spun++ & 7;
    }

    static int middle(String way, boolean now) {
        int sum = 3;
        sum += small(way, now);
        return sum;
    }

    static int hot(String way, boolean now) {
        return middle(way, now) +
            small("nothing", false);
    }

    static void inlined(String way) {
        for (int i = 0; i < 60000; i++) sink += hot(way, false);
        hot(way, true);
    }

    /* Compiled while it runs: the loop goes on in new code. */
    static void replaced(String way) {
        int sum = 0;
        for (int i = 0; i < 400000; i++) {
            sum += i ^ spun;
            if (i == 399000)
                send(way);
        }
        sink = sum;
    }

    interface Shape {
        int area(String way, boolean now);
    }

    static class Square implements Shape {
        public int area(String way, boolean now) {
            if (now) send(way);
            return 4;
        }
    }

    static class Circle implements Shape {
        public int area(String way, boolean now) {
            if (now)
                send(way);
            return 3;
        }
    }

    static int total(Shape shape, String way, boolean now) {
        return shape.area(way, now) + 1;
    }

    /* Compiled for one class alone, which then is wrong: the code is given up. */
    static void given_up(String way) throws Exception {
        for (int i = 0; i < 60000; i++) sink += total(new Square(), way, false);
        Shape other = (Shape) Class.forName("Ways$Circle").getDeclaredConstructor().newInstance();
        total(other, way, true);
    }

    /* The class that is loaded beneath invalidates the frame's own code. */
    static int invalid(String way, boolean now) throws Exception {
        if (now) {
            total((Shape) Class.forName("Ways$Circle").getDeclaredConstructor().newInstance(), way, false);
            for (int i = 0; i < 10; i++) System.gc();
            send(way);
        }
        return total(new Square(), way, false);
    }

    static void invalidated(String way) throws Exception {
        for (int i = 0; i < 60000; i++) sink += invalid(way, false);
        invalid(way, true);
    }

    static class Late {
        static {
            send("initializer");
        }

        static void touch() {
        }
    }

    static class Made {
        final int number;

        Made(String way) {
            number = 1;
            send(way);
        }
    }

    class Inner {
        synchronized void run(String way) {
            synchronized (this) {
                send(way);
            }
        }
    }

    static class Thrower implements AutoCloseable {
        final String way;

        Thrower(String way) {
            this.way = way;
        }

        public void close() {
            send(way);
        }
    }

    static void recursive(String way, int n) {
        if (n == 0)
            send(way);
        else
            recursive(way, n - 1);
    }

    @Override
    public void accept(String way) {
        send(way);
    }

    static void handled(String way) {
        try (Thrower thrower = new Thrower(way)) {
            throw new IllegalStateException();
        } catch (IllegalStateException e) {
            sink++;
        }
    }

    static void by_reflection(String way) throws Exception {
        Ways.class.getDeclaredMethod("send", String.class).invoke(null, way);
    }

    static void by_handle(String way) throws Throwable {
        MethodHandle handle = MethodHandles.lookup().findStatic(Ways.class, "send", MethodType.methodType(void.class, String.class));
        handle.invokeExact(way);
    }

    static void by_proxy(String way) {
        Runnable proxy = (Runnable) Proxy.newProxyInstance(Ways.class.getClassLoader(), new Class<?>[] {Runnable.class}, (p, m, a) -> {
            send(way);
            return null;
        });
        proxy.run();
    }

    @SuppressWarnings({"removal", "deprecation"})
    static void privileged(String way) {
        AccessController.doPrivileged((PrivilegedAction<Void>) () -> {
            send(way);
            return null;
        });
    }

    static void in_thread(String way) throws Exception {
        Thread thread = new Thread(() -> send(way));
        thread.start();
        thread.join();
    }

    static void in_pool(String way) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(2);
        pool.submit(() -> {
            send(way);
            return 1;
        }).get();
        pool.shutdown();
    }

    static void go(String way) throws Throwable {
        switch (way) {
        case "method": send(way); break;
        case "inlined": inlined(way); break;
        case "replaced": replaced(way); break;
        case "given_up": given_up(way); break;
        case "invalidated": invalidated(way); break;
        case "initializer": Late.touch(); break;
        case "constructor": kept.add(new Made(way)); break;
        case "inner": new Ways().new Inner().run(way); break;
        case "recursive": recursive(way, 9); break;
        case "lambda": Arrays.asList(way).forEach(w -> send(w)); break;
        case "reference": Arrays.asList(way).stream().forEach(Ways::send); break;
        case "bridge": Arrays.asList(way).forEach(new Ways()); break;
        case "handler": handled(way); break;
        case "reflection": by_reflection(way); break;
        case "handle": by_handle(way); break;
        case "proxy": by_proxy(way); break;
        case "privileged": privileged(way); break;
        case "thread": in_thread(way); break;
        case "pool": in_pool(way); break;
        default: throw new IllegalArgumentException(way);
        }
    }

    public static void main(String[] arguments) throws Throwable {
        host = arguments[1];
        port = Integer.parseInt(arguments[2]);
        for (int i = 0; i < Integer.parseInt(arguments[3]); i++)
            for (String way : arguments[0].split(","))
                if (!way.equals("initializer") || i == 0) go(way);
        System.out.println("done");
    }
}
