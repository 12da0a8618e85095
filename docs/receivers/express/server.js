// npm install; WEBHOOK_API_KEY=… WEBHOOK_SECRET=whsec_… PORT=9000 node server.js
"use strict";

const { createHash, timingSafeEqual } = require("node:crypto");
const express = require("express");
const { Webhook } = require("standardwebhooks");

const SECRET = process.env.WEBHOOK_SECRET;
const digest = (text) => createHash("sha256").update(text).digest();
const apiKey = digest(process.env.WEBHOOK_API_KEY);
const seen = new Set(); // in production: a table with a unique column
const newest = new Map(); // in production: a column beside the device's status

const app = express();

// The signature is of the bytes that were sent: they are parsed after it was checked.
app.post("/", express.raw({ type: "application/json" }), (request, response) => {
  if (!timingSafeEqual(digest(request.get("Authorization") ?? ""), apiKey)) {
    return response.sendStatus(401);
  }
  if (SECRET) {
    try {
      // Checks the signature, and that it is not older than five minutes.
      new Webhook(SECRET).verify(request.body.toString(), request.headers);
    } catch {
      return response.sendStatus(401);
    }
  }
  const events = JSON.parse(request.body);
  response.sendStatus(204); // answer at once …
  setImmediate(take, request.get("Webhook-Id"), events); // … and work later
});

function take(pushId, events) {
  if (seen.has(pushId)) return; // a repeat
  seen.add(pushId);
  if (seen.size > 10_000) seen.delete(seen.values().next().value);
  for (const { device_id, status, timestamp } of events) {
    if (timestamp <= (newest.get(device_id) ?? 0)) continue; // overtaken by a newer one
    newest.set(device_id, timestamp);
    console.log(`${device_id} is ${status} since ${timestamp}`);
  }
}

app.listen(Number(process.env.PORT), "127.0.0.1");
