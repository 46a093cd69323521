/* Java's HTTP clients: Fetch HttpClient|HttpURLConnection URL read|keep COUNT. Reads bodies to their end, or keeps them unread;
 * HttpClient, which reads ahead, does so until there is a file "stop". */
import java.io.File;
import java.io.InputStream;
import java.net.URI;
import java.net.URL;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.List;
import java.net.HttpURLConnection;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509TrustManager;

public final class Fetch {
    private static final List<Object> kept = new ArrayList<>();

    private static SSLContext trusting() throws Exception {
        X509TrustManager all = new X509TrustManager() {
            public void checkClientTrusted(X509Certificate[] chain, String type) {}
            public void checkServerTrusted(X509Certificate[] chain, String type) {}
            public X509Certificate[] getAcceptedIssuers() {
                return new X509Certificate[0];
            }
        };
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, new TrustManager[] {all}, null);
        return context;
    }

    private static InputStream open(String client, String url) throws Exception {
        if (client.equals("HttpClient")) {
            HttpClient http = HttpClient.newBuilder().sslContext(trusting()).build();
            kept.add(http);
            return http.send(HttpRequest.newBuilder(URI.create(url)).build(), HttpResponse.BodyHandlers.ofInputStream()).body();
        }
        HttpURLConnection connection = (HttpURLConnection) new URL(url).openConnection();
        if (connection instanceof HttpsURLConnection) {
            ((HttpsURLConnection) connection).setSSLSocketFactory(trusting().getSocketFactory());
            ((HttpsURLConnection) connection).setHostnameVerifier((host, session) -> true);
        }
        return connection.getInputStream();
    }

    public static void main(String[] arguments) throws Exception {
        boolean read = arguments[2].equals("read");
        for (int i = 0; i < Integer.parseInt(arguments[3]); i++) {
            InputStream in = open(arguments[0], arguments[1]);
            if (read) {
                System.out.println(in.readAllBytes().length);
                in.close();
            } else {
                kept.add(in);
            }
        }
        System.out.println("done");
        while (!read && arguments[0].equals("HttpClient") && !new File("stop").exists()) Thread.sleep(50);
        System.exit(0);
    }
}
