/* Keeps COUNT responses of HttpURLConnection of which only a byte was read: java Kept URL COUNT. */
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.URL;
import java.util.ArrayList;
import java.util.List;

public class Kept {
    static final List<Object> kept = new ArrayList<>();

    static void fetch(String url) throws Exception {
        HttpURLConnection connection = (HttpURLConnection) new URL(url).openConnection();
        InputStream in = connection.getInputStream(); // the request
        kept.add(connection);
        kept.add(in);
        in.read();
    }

    public static void main(String[] arguments) throws Exception {
        for (int i = 0; i < Integer.parseInt(arguments[1]); i++) fetch(arguments[0]);
        System.out.println("done");
    }
}
