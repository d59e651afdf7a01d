#!/usr/bin/env node
// Plain JavaScript that a very old Node can parse: it only says so when Node is too old for the rest.
var wanted = [22, 19];
var have = process.versions.node.split('.').map(Number);
if (have[0] < wanted[0] || (have[0] === wanted[0] && have[1] < wanted[1])) {
  process.stderr.write(
    'shardsieve needs Node ' +
      wanted.join('.') +
      ' or newer; this is Node ' +
      process.versions.node +
      '. Get a current one from https://nodejs.org, or run: npx --package node@24 --package shardsieve shardsieve\n',
  );
  process.exit(2);
}
import('../dist/cli/main.js').then((main) => main.start());
