#!/usr/bin/env node
// Signals first: importing the program takes longer than many of its verbs.
import "../dist/flat/first-signals.js";

await import("../dist/flat/main.js");
