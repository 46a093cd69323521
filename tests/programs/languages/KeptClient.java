/* Keeps COUNT responses of one java.net.http.HttpClient unread: java KeptClient.java URL COUNT. */
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.List;

public class KeptClient {
    static final List<Object> kept = new ArrayList<>();
    static final HttpClient client = HttpClient.newHttpClient();

    static void fetch(String url) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(url)).build();
        kept.add(client.send(request, HttpResponse.BodyHandlers.ofInputStream()).body()); // the request
    }

    public static void main(String[] arguments) throws Exception {
        for (int i = 0; i < Integer.parseInt(arguments[1]); i++) fetch(arguments[0]);
        System.out.println("done");
        System.exit(0);
    }
}
