// openapi_valid.mjs - what an independent validator says of a description in OpenAPI. Used by openapi_valid.py.
//
//     node openapi_valid.mjs CLIENTS OPENAPI_JSON      CLIENTS/node_modules has the validator; exits 1 with its objections

import {readFileSync} from "node:fs";
import {join} from "node:path";
import {pathToFileURL} from "node:url";

const [clients, path] = process.argv.slice(2);
const {Validator} = await import(pathToFileURL(join(clients, "node_modules/@seriousme/openapi-schema-validator/index.js")));
const text = readFileSync(path, "utf-8");

async function objections(description) {
  const validator = new Validator();
  const {valid, errors} = await validator.validate(description);
  return valid ? [] : [errors].flat();
}

// A validator that accepts everything is none.
const broken = JSON.parse(text);
delete broken.paths["/healthz"].get.responses;
broken.paths["/readyz"].get.parameters = [{name: "x", in: "nowhere"}];
if ((await objections(broken)).length === 0) {
  console.log("the validator accepts a description that is broken");
  process.exit(1);
}
const found = await objections(JSON.parse(text));
for (const one of found) {
  console.log(JSON.stringify(one));
}
process.exit(found.length > 0 ? 1 : 0);
