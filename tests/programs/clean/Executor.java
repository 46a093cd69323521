/* A pool of a hundred threads of which some fetch and most never do: Executor URL COUNT exit|shutdown. Stays until there is a file
 * "stop". */
import java.io.File;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.URL;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

public final class Executor {
    static int connection(String url) throws Exception {
        HttpURLConnection connection = (HttpURLConnection) new URL(url).openConnection();
        try (InputStream in = connection.getInputStream()) {
            return in.readAllBytes().length;
        }
    }

    static int client(HttpClient client, String url) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(url)).build();
        return client.send(request, HttpResponse.BodyHandlers.ofByteArray()).body().length;
    }

    public static void main(String[] arguments) throws Exception {
        String url = arguments[0];
        ThreadPoolExecutor pool = (ThreadPoolExecutor) Executors.newFixedThreadPool(100);
        pool.prestartAllCoreThreads();
        HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).executor(pool).build();
        List<Future<Integer>> jobs = new ArrayList<>();
        for (int i = 0; i < Integer.parseInt(arguments[1]); i++) {
            boolean even = i % 2 == 0;
            jobs.add(pool.submit(() -> even ? connection(url) : client(client, url)));
        }
        long sum = 0;
        for (Future<Integer> job : jobs) sum += job.get();
        System.out.println(sum + " bytes, " + pool.getPoolSize() + " threads");
        while (!new File("stop").exists()) Thread.sleep(50);
        if (arguments[2].equals("exit")) System.exit(0);
        pool.shutdown();
        if (!pool.awaitTermination(30, TimeUnit.SECONDS)) System.exit(1);
        System.exit(0); // HttpClient's own thread stays
    }
}
