/** Time to rename many keys by many rules. Prints JSON: `node bench/dist/rev-keys.js [keys]`. Bar: 100 000 keys x 10 rules in 0.5 s. */
import { compileRevKeys, reviseNames } from "@rankcast/core/internal";
import { bestSeconds } from "./measure.js";

const count = Number(process.argv[2] ?? 100_000);
const keys = Array.from({ length: count }, (_, at) => {
  const parts = [
    "self_attn.q_proj",
    "self_attn.k_proj",
    "mlp.gate_proj",
    "mlp.down_proj",
    "input_layernorm",
    "roi_head.bbox_head.fc_cls",
    "neck.fpn_convs.3.conv",
  ];
  return `module.model.layers.${Math.floor(at / 14)}.${parts[at % 7]}.${at % 14 < 7 ? "weight" : "bias"}`;
});

const lists: Readonly<Record<string, readonly (readonly [string, string])[]>> = {
  "default rule": [["^module\\.", ""]],
  "10 literal rules": [
    ["^module\\.", ""],
    ["^model\\.", "backbone."],
    ["\\.q_proj\\.", ".query."],
    ["\\.k_proj\\.", ".key."],
    ["input_layernorm", "norm1"],
    ["^roi_head\\.bbox_head\\.", "roi_head."],
    ["\\.gate_proj\\.", ".gate."],
    ["\\.down_proj\\.", ".down."],
    ["bias$", "b"],
    ["^ema\\.", ""],
  ],
  "10 rules with groups and classes": [
    ["^(?:module\\.|_orig_mod\\.)+", ""],
    ["^model.layers\\.(\\d+)\\.", "blocks.\\1."],
    ["neck.fpn_convs\\.(\\d)\\.conv", "fpn.layer_blocks.\\g<1>"],
    ["\\.(weight|bias)$", ".w_\\1"],
    ["self_attn\\.(?P<which>[qkv])_proj", "attn.\\g<which>"],
    ["mlp\\.(gate|up|down)_proj", "ffn.\\1"],
    ["(?<=\\.)input_layernorm(?=\\.)", "norm1"],
    ["^roi_head.bbox_head\\.", "roi_head."],
    ["fc_cls", "classifier"],
    ["\\.conv.weight", ".weight"],
  ],
  "10 rules with flags, atomic groups and backreferences": [
    ["(?i)^MODULE\\.", ""],
    ["(?P<a>l)ayers\\.(\\d++)", "h.\\2"],
    ["(o)_p\\1?roj", "x"],
    ["(?i:SELF_)(?=ATTN)", ""],
    ["\\b(\\w)(\\w)\\2\\b", "<\\1\\2>"],
    ["(?>mlp|mixer)\\.", "ffn."],
    ["^((?:\\w+\\.)*)fc_cls\\.", "\\1cls."],
    ["x*$", ""],
    ["^(?:(\\w+)\\.)+conv$", "\\1"],
    ["(?i)LayerNorm", "ln"],
  ],
  "10 rules that only our matcher can run": [
    ["(_)?proj(?(1)\\.|$)", "p."],
    ["(?:(a)|t)+n", "<\\1>"],
    ["(?:(q)|(k)|(v))+_p", "\\1\\2\\3p"],
    ["(\\w*\\.?)*z", "\\1"],
    ["(\\d|\\d\\d)+\\.mlp", "\\g<0>"],
    ["(?:(roi)|(rpn))?_?head(?(1)\\.|_)", "head."],
    ["(?i)(f)pn_(c)on(v)s?\\.(?:\\d|\\1|\\2|\\3)", "fpn"],
    ["(?:([a-z])|[0-9_])+norm\\.", "\\1n."],
    ["(?:down|(up))+(?(1)x|_)", "\\g<0>"],
    ["(?:(?:b?)i?)*as$", "b"],
  ],
};

const figures = Object.entries(lists).map(([name, rules]) => {
  const compiled = compileRevKeys(rules);
  const seconds = bestSeconds(() => reviseNames(keys, [], compiled), 3);
  return {
    name,
    seconds: Number(seconds.toPrecision(3)),
    nanosecondsPerKeyAndRule: Math.round((seconds * 1e9) / count / rules.length),
    forms: Object.fromEntries(
      ["literal", "v8", "matcher"].map((form) => [form, compiled.rules.filter((rule) => rule.form === form).length]),
    ),
  };
});
process.stdout.write(`${JSON.stringify({ bench: "rev-keys", node: process.version, keys: count, figures }, undefined, 1)}\n`);
