// cloudflare_client.cjs - Cloudflare's own client library, asked from a play.
//
// Standard input has a list of calls, [{"call": "pages.projects.get", "args": [...], "is_list": false}, ...]; standard output gets
// what became of each: {"result": ...} or {"error": {"status", "codes"}}. CLOUDFLARE_API_BASE_URL and CLOUDFLARE_API_TOKEN say whom
// to ask; NODE_PATH leads to the library.
"use strict";
const Cloudflare = require("cloudflare");

async function perform(client, one) {
    const steps = one.call.split(".");
    const name = steps.pop();
    const room = steps.reduce((found, step) => found[step], client);
    try {
        if (!one.is_list) {
            return {result: await room[name](...one.args)};
        }
        const all = [];
        for await (const item of room[name](...one.args)) {
            all.push(item);
        }
        return {result: all};
    } catch (error) {
        if (error.status === undefined) {
            throw error;
        }
        return {error: {status: error.status, codes: (error.errors || []).map((each) => each.code)}};
    }
}

async function main() {
    let text = "";
    for await (const piece of process.stdin) {
        text += piece;
    }
    const client = new Cloudflare({apiToken: process.env.CLOUDFLARE_API_TOKEN, baseURL: process.env.CLOUDFLARE_API_BASE_URL});
    const answers = [];
    for (const one of JSON.parse(text)) {
        answers.push(await perform(client, one));
    }
    process.stdout.write(JSON.stringify(answers));
}

main();
