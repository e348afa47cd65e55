// Parses what readhook posts with the CloudEvents SDK, and prints what the SDK made of it.
//
// The SDK reads single events only, so of a batch each is given to it as one.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import io.cloudevents.CloudEvent;
import io.cloudevents.http.HttpMessageFactory;
import java.io.IOException;
import java.io.PrintStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

public final class Receiver {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final PrintStream OUTPUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    private static final String BATCH = "application/cloudevents-batch+json";

    public static void main(String[] arguments) throws IOException {
        int port = Integer.parseInt(arguments[0]);
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 0);
        server.createContext("/", Receiver::receive);
        server.start();
    }

    private static void receive(HttpExchange exchange) throws IOException {
        try (exchange) {
            int status = 204;
            try {
                List<String> lines = new ArrayList<>();
                for (CloudEvent event : parse(exchange)) {
                    lines.add(describe(event));
                }
                lines.forEach(OUTPUT::println);
            } catch (IOException | RuntimeException error) {
                error.printStackTrace();
                status = 500;
            }
            exchange.sendResponseHeaders(status, -1);
        }
    }

    private static List<CloudEvent> parse(HttpExchange exchange) throws IOException {
        byte[] body = exchange.getRequestBody().readAllBytes();
        Map<String, String> headers = new HashMap<>();
        exchange.getRequestHeaders().forEach((name, values) -> headers.put(name.toLowerCase(), values.get(0)));
        String type = headers.getOrDefault("content-type", "");
        if (!type.startsWith(BATCH)) {
            return List.of(HttpMessageFactory.createReader(headers, body).toEvent());
        }
        headers.put("content-type", type.replace("-batch+json", "+json"));
        List<CloudEvent> events = new ArrayList<>();
        for (JsonNode one : JSON.readTree(body)) {
            events.add(HttpMessageFactory.createReader(headers, JSON.writeValueAsBytes(one)).toEvent());
        }
        return events;
    }

    private static String describe(CloudEvent event) throws IOException {
        Map<String, Object> said = new HashMap<>();
        said.put("id", event.getId());
        said.put("subject", event.getSubject());
        said.put("data", event.getData() == null ? null : JSON.readTree(event.getData().toBytes()));
        return JSON.writeValueAsString(said);
    }
}
