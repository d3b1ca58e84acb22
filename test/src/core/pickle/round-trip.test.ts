/** Random values, written by a writer of the tests in every protocol, read back equal: content, order, sharing, cycles. */
import { ComplexValue, KeyTuple, OpaqueValue, TreeDict, type TreeKey, TreeList, type TreeValue } from "@rankcast/core/internal";
import { expect } from "chai";
import fc from "fast-check";
import { encodePickle } from "../../support/encode-pickle.ts";
import { read } from "../../support/plain-tree.ts";

const text = fc.oneof(
  fc.string({ maxLength: 20 }),
  fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit)), maxLength: 8 }),
);
const integer = fc.oneof(fc.maxSafeInteger(), fc.integer({ min: -300, max: 70_000 }));
const large = fc.bigInt({ min: -(2n ** 2000n), max: 2n ** 2000n }).filter((value) => !Number.isSafeInteger(Number(value)));
const plainKey = fc.oneof(text, integer, fc.constant(null));

const key: fc.Arbitrary<TreeKey> = fc.oneof(
  { weight: 5, arbitrary: plainKey },
  fc.array(plainKey, { maxLength: 4 }).map((parts) => new KeyTuple(parts)),
  fc.tuple(plainKey, fc.array(plainKey, { maxLength: 3 })).map(([first, rest]) => new KeyTuple([first, new KeyTuple(rest)])),
);

const { tree } = fc.letrec<{ tree: TreeValue; leaf: TreeValue; list: TreeValue; dict: TreeValue; object: TreeValue }>((tie) => ({
  tree: fc.oneof({ maxDepth: 4, depthSize: "small", withCrossShrink: true }, tie("leaf"), tie("list"), tie("dict"), tie("object")),
  leaf: fc.oneof(
    fc.constantFrom<TreeValue>(null, true, false),
    integer,
    large,
    fc.double(),
    text,
    fc.uint8Array({ maxLength: 600 }).map((bytes): TreeValue => bytes),
    fc.tuple(fc.double({ noNaN: true }), fc.double({ noNaN: true })).map(([re, im]) => new ComplexValue(re, im)),
  ),
  list: fc
    .tuple(
      fc.constantFrom<TreeList["type"]>("list", "list", "tuple", "deque", "Size", "set", "frozenset"),
      fc.array(tie("tree"), { maxLength: 5 }),
    )
    .map(([type, elements]) => new TreeList(type, type.endsWith("set") ? elements.filter((each) => typeof each !== "object") : elements)),
  dict: fc
    .tuple(fc.constantFrom("dict", "OrderedDict", "Counter"), fc.array(fc.tuple(key, tie("tree")), { maxLength: 5 }), fc.boolean())
    .map(([type, pairs, attributes]) => makeDict(type, pairs, attributes)),
  object: fc
    .tuple(fc.array(tie("tree"), { maxLength: 3 }), tie("tree"))
    .map(([args, state]) => new OpaqueValue("acme.bits.Thing", args, false, state)),
}));

function makeDict(type: string, pairs: readonly (readonly [TreeKey, TreeValue])[], attributes: boolean): TreeDict {
  const made = new TreeDict(type);
  const seen = new Set<string>();
  for (const [each, value] of pairs) {
    const content = each instanceof KeyTuple ? each.text : `${typeof each} ${String(each)}`;
    if (!seen.has(content)) made.entries.set(each, value);
    seen.add(content);
  }
  if (attributes && type !== "dict") made.attributes = makeDict("dict", pairs.slice(0, 1), false);
  return made;
}

/** A value as nested arrays in which a container that was met before is its number, so that sharing shows. */
function shape(root: TreeValue | TreeKey): unknown {
  const seen = new Map<unknown, number>();
  const walk = (value: TreeValue | TreeKey): unknown => {
    if (value === null || typeof value !== "object") return Object.is(value, -0) ? "-0" : value;
    if (value instanceof Uint8Array) return ["bytes", Buffer.from(value).toString("hex")];
    if (value instanceof KeyTuple) return ["key", value.text];
    if (value instanceof ComplexValue) return ["complex", walk(value.re), walk(value.im)];
    const known = seen.get(value);
    if (known !== undefined) return ["again", known];
    seen.set(value, seen.size);
    if (value instanceof TreeList) return [value.type, ...value.elements.map(walk)];
    if (value instanceof TreeDict)
      return [value.type, [...value.entries].map(([each, entry]) => [walk(each), walk(entry)]), walk(value.attributes)];
    return value instanceof OpaqueValue ? [value.global, value.args.map(walk), walk(value.state)] : "?";
  };
  return walk(root);
}

describe("pickles written and read back", () => {
  for (const protocol of [0, 1, 2, 3, 4, 5]) {
    it(`are equal in protocol ${protocol}`, () => {
      fc.assert(
        fc.property(tree, (value) => {
          expect(shape(read(encodePickle(value, protocol)))).to.deep.equal(shape(value));
        }),
        { numRuns: 300 },
      );
    });
  }

  it("keep sharing and cycles", () => {
    fc.assert(
      fc.property(tree, fc.nat({ max: 5 }), (value, protocol) => {
        const list = new TreeList("list", [value, value]);
        const dict = new TreeDict();
        dict.entries.set("list", list);
        dict.entries.set("self", dict);
        list.elements.push(list, dict, new OpaqueValue("acme.Node", [value], false, dict));
        expect(shape(read(encodePickle(dict, protocol)))).to.deep.equal(shape(dict));
      }),
      { numRuns: 300 },
    );
  });
});
