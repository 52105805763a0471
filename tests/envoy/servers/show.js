// Shows each request as Node.js has it: joined, apart and raw.
'use strict';
const fs = require('fs');
const http = require('http');

http
  .createServer((request, response) => {
    const pieces = [];
    const text = (value) => Buffer.from(String(value), 'latin1').toString('base64');
    request.on('data', (piece) => pieces.push(piece));
    request.on('end', () => {
      const fields = Object.entries(request.headers).map(([name, value]) => [name, text(value)]);
      for (const [name, values] of Object.entries(request.headersDistinct)) {
        for (const value of values) fields.push([name, text(value)]);
      }
      // Trailers as a framework that merges them has them.
      for (const [name, value] of Object.entries(request.trailers)) fields.push([name, text(value)]);
      const seen = {
        server: 'node',
        method: request.method,
        target: request.url,
        fields,
        body: Buffer.concat(pieces).toString('base64'),
      };
      fs.appendFileSync(process.env.SHOWN, JSON.stringify(seen) + '\n');
      response.end();
    });
  })
  .listen(Number(process.argv[2]), '127.0.0.1');
