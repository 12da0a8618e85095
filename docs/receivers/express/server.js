// npm install; WEBHOOK_API_KEY=… WEBHOOK_SECRET=whsec_… PORT=9000 node server.js
"use strict";

const { createHash, timingSafeEqual } = require("node:crypto");
const express = require("express");
const { Webhook } = require("standardwebhooks");

const SECRET = process.env.WEBHOOK_SECRET;
const digest = (text) => createHash("sha256").update(text).digest();
const apiKey = digest(process.env.WEBHOOK_API_KEY);
const seen = new Set(); // in production: a table with a unique column
const newest = new Map(); // in production: a column next to the device's status

const app = express();

// The signature covers the raw bytes, so parse the body only after verifying it.
app.post("/", express.raw({ type: "application/json" }), (request, response) => {
  if (!timingSafeEqual(digest(request.get("Authorization") ?? ""), apiKey)) {
    return response.sendStatus(401);
  }
  if (SECRET) {
    try {
      // Also rejects timestamps that are more than five minutes off.
      new Webhook(SECRET).verify(request.body.toString(), request.headers);
    } catch {
      return response.sendStatus(401);
    }
  }
  const events = JSON.parse(request.body);
  response.sendStatus(204); // respond immediately …
  setImmediate(take, request.get("Webhook-Id"), events); // … and process it later
});

function take(pushId, events) {
  if (seen.has(pushId)) return; // a repeat
  seen.add(pushId);
  if (seen.size > 10_000) seen.delete(seen.values().next().value);
  for (const { device_id, status, timestamp } of events) {
    if (timestamp <= (newest.get(device_id) ?? 0)) continue; // a newer event has arrived already
    newest.set(device_id, timestamp);
    console.log(`${device_id} is ${status} since ${timestamp}`);
  }
}

app.listen(Number(process.env.PORT), "127.0.0.1");
