// Parses what readhook posts with the CloudEvents SDK, and prints what the SDK made of it.
package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
)

func parse(request *http.Request) ([]event.Event, error) {
	if strings.HasPrefix(request.Header.Get("content-type"), "application/cloudevents-batch") {
		return cehttp.NewEventsFromHTTPRequest(request)
	}
	one, err := cehttp.NewEventFromHTTPRequest(request)
	if err != nil {
		return nil, err
	}
	return []event.Event{*one}, nil
}

func main() {
	handler := func(response http.ResponseWriter, request *http.Request) {
		events, err := parse(request)
		for _, one := range events {
			if err == nil {
				err = one.Validate()
			}
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			http.Error(response, err.Error(), http.StatusInternalServerError)
			return
		}
		for _, one := range events {
			line, _ := json.Marshal(map[string]any{"id": one.ID(), "subject": one.Subject(), "data": json.RawMessage(one.Data())})
			fmt.Println(string(line))
		}
		response.WriteHeader(http.StatusNoContent)
	}
	fmt.Fprintln(os.Stderr, http.ListenAndServe("127.0.0.1:"+os.Args[1], http.HandlerFunc(handler)))
	os.Exit(1)
}
