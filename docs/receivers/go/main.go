// WEBHOOK_API_KEY=… WEBHOOK_SECRET=whsec_… PORT=9000 go run .
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

type event struct {
	DeviceID  string `json:"device_id"`
	Status    string `json:"status"`
	Timestamp int64  `json:"timestamp"`
}

type push struct {
	id     string
	events []event
}

var (
	apiKey = []byte(os.Getenv("WEBHOOK_API_KEY"))
	secret = os.Getenv("WEBHOOK_SECRET")
	work   = make(chan push, 10_000)
)

func receive(w http.ResponseWriter, r *http.Request) {
	if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), apiKey) != 1 {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err == nil && secret != "" && !signed(r.Header, body) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	var events []event
	if err != nil || json.Unmarshal(body, &events) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	work <- push{r.Header.Get("Webhook-Id"), events} // process it later …
	w.WriteHeader(http.StatusNoContent)              // … and respond immediately
}

// signed verifies a Standard Webhooks signature: HMAC-SHA256 of "id.timestamp.body". It also
// rejects timestamps that are more than five minutes off.
func signed(header http.Header, body []byte) bool {
	id, at := header.Get("Webhook-Id"), header.Get("Webhook-Timestamp")
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil || time.Since(time.Unix(seconds, 0)).Abs() > 5*time.Minute {
		return false
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, at, body)
	for _, signature := range strings.Fields(header.Get("Webhook-Signature")) {
		given, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(signature, "v1,"))
		if err == nil && hmac.Equal(given, mac.Sum(nil)) {
			return true
		}
	}
	return false
}

func take() {
	seen := map[string]bool{}    // in production: a table with a unique column
	newest := map[string]int64{} // in production: a column next to the device's status
	for one := range work {
		if seen[one.id] {
			continue // a repeat
		}
		seen[one.id] = true
		for _, e := range one.events {
			if e.Timestamp <= newest[e.DeviceID] {
				continue // a newer event has arrived already
			}
			newest[e.DeviceID] = e.Timestamp
			fmt.Printf("%s is %s since %d\n", e.DeviceID, e.Status, e.Timestamp)
		}
	}
}

func main() {
	if len(apiKey) == 0 {
		log.Fatal("WEBHOOK_API_KEY is not set")
	}
	go take()
	http.HandleFunc("POST /", receive)
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil))
}
