// Parses what readhook posts with the CloudEvents SDK, and prints what the SDK made of it.
import { createServer } from "node:http";
import { HTTP } from "cloudevents";

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  try {
    const parsed = HTTP.toEvent({ headers: request.headers, body: Buffer.concat(chunks).toString("utf8") });
    const events = Array.isArray(parsed) ? parsed : [parsed];
    for (const event of events) {
      event.validate();
      console.log(JSON.stringify({ id: event.id, subject: event.subject, data: event.data }));
    }
    response.writeHead(204).end();
  } catch (error) {
    console.error(error);
    response.writeHead(500).end(String(error));
  }
});
server.listen(Number(process.argv[2]), "127.0.0.1");
