// Prints "valid", or what is wrong with the AsyncAPI document of that path.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const { diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
const faults = diagnostics.filter(({ severity }) => severity < 2); // errors and warnings, no advice
console.log(faults.map(({ path, message }) => `${path.join(".")}: ${message}`).join("\n") || "valid");
