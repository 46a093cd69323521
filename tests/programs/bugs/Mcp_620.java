// MCP java-sdk#620: each connect makes an HttpClient of its own, and with it a SelectorManager thread that nobody ends.
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.List;

public class Mcp_620 {
    static final List<HttpClient> transports = new ArrayList<>();

    static void connect(String url) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        transports.add(client);
        HttpRequest request = HttpRequest.newBuilder(URI.create(url)).version(HttpClient.Version.HTTP_1_1).build();
        client.send(request, HttpResponse.BodyHandlers.ofString());
    }

    public static void main(String[] arguments) throws Exception {
        for (int i = 0; i < 4; i++) {
            connect(arguments[0]);
            Thread.sleep(50);
        }
    }
}
