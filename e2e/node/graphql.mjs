// A GraphQL server (npm `json-graphql-server`) over generated rows: `allReadings(page, perPage, sortField, sortOrder, filter)`
// and `_allReadingsMeta { count }`.
//
// Usage: node graphql.mjs PORT ROWS. Prints `listening` when it does.

import express from "express";
import graphql from "json-graphql-server/node";

const [port, rows] = process.argv.slice(2).map(Number);
const readings = Array.from({ length: rows }, (_, index) => ({
  id: index + 1,
  sensor_id: (index % 7) + 1,
  value: index / 4,
  taken_at: new Date(Date.UTC(2026, 0, 1) + index * 60_000).toISOString(),
  note: index % 5 === 0 ? null : `reading ${index + 1}`,
}));
const sensors = Array.from({ length: 7 }, (_, index) => ({ id: index + 1, name: `sensor ${index + 1}` }));

express()
  .use("/graphql", graphql({ readings, sensors }))
  .listen(port, "127.0.0.1", () => console.log("listening"));
