/* Keeps answers that nobody wants: Keep HttpURLConnection|HttpClient URL COUNT [upgrade]. Until there is a file "stop". */
import java.io.File;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.URL;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.List;

public final class Keep {
    private static final List<Object> kept = new ArrayList<>();

    /** The status alone is looked at; neither stream, of answer or error, is ever asked for. */
    private static int connection(String url) throws Exception {
        HttpURLConnection connection = (HttpURLConnection) new URL(url).openConnection();
        connection.setInstanceFollowRedirects(false);
        kept.add(connection);
        return connection.getResponseCode();
    }

    private static int client(String url) throws Exception {
        HttpClient client = HttpClient.newHttpClient(); // offers HTTP/2
        kept.add(client);
        HttpResponse<?> answer = client.send(HttpRequest.newBuilder(URI.create(url)).build(), HttpResponse.BodyHandlers.ofInputStream());
        kept.add(answer);
        return answer.statusCode();
    }

    public static void main(String[] arguments) throws Exception {
        for (int i = 0; i < Integer.parseInt(arguments[2]); i++)
            System.out.println(arguments[0].equals("HttpClient") ? client(arguments[1]) : connection(arguments[1]));
        while (!new File("stop").exists()) Thread.sleep(50);
        System.exit(0);
    }
}
