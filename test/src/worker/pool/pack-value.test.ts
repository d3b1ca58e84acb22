/** Values that cross threads, sent through the engine's own clone as between threads. */
import { DistributionError, Module, StateDict, StateDictError, Storage, Tensor } from "@rankcast/core";
import { type PackedValue, packValue, unpackValue } from "@rankcast/worker/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.js";

const clone = (packed: PackedValue): PackedValue => structuredClone(packed);
const cross = <T>(value: T): T => unpackValue(clone(packValue(value, "it"))) as T;

describe("pool: values that cross threads", () => {
  it("passes on what structured clone carries, without looking at it twice", () => {
    const value = {
      map: new Map<unknown, unknown>([[1, new Set(["a"])]]),
      array: new Float32Array([1, 2]),
      big: 5n,
      date: new Date(5),
      nothing: undefined,
      hole: Object.assign(new Array<number>(3), { 0: 1, 2: 3 }),
    };
    expect(packValue(value, "it").standIns).to.deep.equal([]);
    expect(packValue(value, "it").value).to.equal(value);
    expect(cross(value)).to.deep.equal(value);
  });

  it("tensors and state dicts stay what they are, and aliases stay aliases", () => {
    const base = Tensor.from(new Float32Array([1, 2, 3, 4, 5, 6]), [2, 3]);
    const column = new Tensor({ dtype: "float32", shape: [2], stride: [3], storageOffset: 1, storage: base.storage });
    const stateDict = new StateDict([
      ["a", base],
      ["b", column],
    ]);
    stateDict.metadata = new Map([["", { version: 2 }]]);
    stateDict.extraState = new Map<string, unknown>([["x", { of: base }]]);
    const result = cross({ stateDict, list: [column, column] });
    expect(result.stateDict).to.be.instanceOf(StateDict);
    expect([...result.stateDict.keys()]).to.deep.equal(["a", "b"]);
    expect([...(result.stateDict.get("b")?.toFloat32Array() ?? [])]).to.deep.equal([2, 5]);
    expect(result.list[0]).to.equal(result.list[1]).and.to.equal(result.stateDict.get("b"));
    expect(result.stateDict.get("a")?.storage).to.equal(result.list[0]?.storage);
    expect(result.stateDict.metadata).to.deep.equal(stateDict.metadata);
    expect((result.stateDict.extraState.get("x") as { of: Tensor }).of).to.equal(result.stateDict.get("a"));
    (result.stateDict.get("a")?.data as Float32Array)[1] = 9;
    expect(base.get(0, 1), "the sender's memory is its own").to.equal(2);
    expect(column.get(0)).to.equal(2);
  });

  it("ships the bytes a tensor looks at, not the whole storage behind it", () => {
    const large = Tensor.from(new Float32Array(1_000_000).fill(7), [1000, 1000]);
    const row = new Tensor({ dtype: "float32", shape: [1000], storageOffset: 500_001, storage: large.storage });
    const [only] = packValue([row], "it").standIns;
    expect(only?.kind === "tensor" && only.tensor.storage.nbytes).to.be.within(4000, 4016);
    expect([...(cross([row])[0]?.toFloat32Array() ?? [])]).to.deep.equal(new Array(1000).fill(7));
    const half = new Tensor({ dtype: "float64", shape: [2], storageOffset: 3, storage: large.storage });
    expect(cross([row, half]).map((each) => [...each.toFloat32Array()])).to.deep.equal(
      [row, half].map((each) => [...each.toFloat32Array()]),
    );
  });

  it("a small view does not drag its buffer along", () => {
    const mapped = new ArrayBuffer(50_000_000);
    const view = new Uint16Array(mapped, 1_000_000, 4);
    view.set([1, 2, 3, 4]);
    const { value } = packValue({ view, again: view }, "it") as { value: { view: Uint16Array; again: Uint16Array } };
    expect(value.view.buffer.byteLength).to.equal(8);
    expect(value.again).to.equal(value.view);
    expect(cross({ view }).view).to.deep.equal(view);
    const data = new DataView(mapped, 1_000_000, 2);
    expect(cross([data])[0]?.getUint16(0, true)).to.equal(1);
  });

  it("shared memory stays shared", () => {
    const shared = new SharedArrayBuffer(8);
    const tensor = new Tensor({ dtype: "float32", shape: [2], storage: Tensor.from(new Float32Array(shared), [2]).storage });
    const [packed] = packValue([tensor], "it").standIns;
    expect(packed?.kind === "tensor" && packed.tensor.storage.buffer).to.equal(shared);
    const view = new Int32Array(shared, 4);
    expect((packValue([view], "it").value as unknown[])[0]).to.equal(view);
  });

  it("meta tensors stay without bytes", () => {
    const tensor = cross(new Tensor({ dtype: "float32", shape: [5], storage: new Storage(null, 0, 20) }));
    expect(tensor.isMeta).to.equal(true);
    expect(tensor.shape).to.deep.equal([5]);
  });

  it("errors keep their class, symbols their name, circles their shape", () => {
    const circle: { error: Error; symbols: symbol[]; self?: unknown } = {
      error: new StateDictError("RANKCAST_STATE_DICT_STRICT", "no", { cause: new TypeError("t") }),
      symbols: [Symbol.for("registered"), Symbol("own")],
    };
    circle.self = circle;
    const result = cross(circle);
    expect(result.self).to.equal(result);
    expect(result.error).to.be.instanceOf(StateDictError);
    expect(result.error.cause).to.be.instanceOf(TypeError);
    expect(result.symbols[0]).to.equal(Symbol.for("registered"));
    expect(result.symbols[1]?.description).to.equal("own");
    expect(cross(Symbol.for("root"))).to.equal(Symbol.for("root"));
    const keyed = cross(new Map([[Symbol.for("key"), new Set([Symbol.for("in")])]]));
    expect([...keyed.entries()].map(([key, set]) => [key, ...set])).to.deep.equal([[Symbol.for("key"), Symbol.for("in")]]);
  });

  it("the cause of an error is what it was, at any depth; one that cannot cross is text", async () => {
    const inner = new TypeError("inner", { cause: { zero: -0, map: new Map([[1, 2n]]), when: new Date(7) } });
    const outer = new RangeError("outer", { cause: inner });
    const back = unpackValue(structuredClone(packValue([outer, inner], "a value"))) as [RangeError, TypeError];
    expect(back[0]).to.be.instanceOf(RangeError);
    expect(back[0].cause).to.equal(back[1]);
    expect(back[1]).to.be.instanceOf(TypeError);
    expect(back[1].cause).to.deep.equal({ zero: -0, map: new Map([[1, 2n]]), when: new Date(7) });
    for (const cause of [() => 1, new WeakMap(), [Promise.resolve()]]) expect(cross(new Error("odd", { cause })).message).to.equal("odd");
  });

  it("fields of an error keep their types", () => {
    class ShapeError extends RangeError {
      override readonly name = "ShapeError";
      readonly when = new Date(7);
      readonly count = 2n ** 63n;
      readonly seen = new Map<unknown, unknown>([["a", new Set([1n])]]);
      readonly values = new Float32Array([1, Number.NaN]);
      readonly zero = -0;
      readonly kind = Symbol.for("kind");
      readonly inner = new TypeError("inner");
      readonly undone = undefined;
      readonly self = this;
      readonly callback = (): number => 1;
      readonly pending = Promise.resolve();
    }
    const sent = new ShapeError("wrong", { cause: { at: [new Date(8)] } });
    const error = cross([sent])[0] as ShapeError;
    expect(error).to.be.instanceOf(RangeError).and.to.include({ name: "ShapeError", message: "wrong", stack: sent.stack });
    const { when, count, seen, values, zero, kind, inner, self } = error;
    expect({ when, count, seen, values, zero, kind }).to.deep.equal({
      when: new Date(7),
      count: 2n ** 63n,
      seen: new Map([["a", new Set([1n])]]),
      values: new Float32Array([1, Number.NaN]),
      zero: -0,
      kind: Symbol.for("kind"),
    });
    expect(inner).to.be.instanceOf(TypeError);
    expect(self).to.equal(error);
    expect(Object.keys(error)).to.include("undone").and.not.to.include.members(["callback", "cause"]);
    expect(error).to.not.have.any.keys("callback", "pending");
    expect(error.cause).to.deep.equal({ at: [new Date(8)] });
  });

  it("an error of several keeps them all", () => {
    const error = cross(new AggregateError([new TypeError("a"), 5n, new StateDictError("RANKCAST_STATE_DICT_STRICT", "no")], "three"));
    expect(error).to.be.instanceOf(AggregateError).and.to.include({ message: "three" });
    expect(error.errors[0]).to.be.instanceOf(TypeError);
    expect(error.errors[1]).to.equal(5n);
    expect(error.errors[2]).to.be.instanceOf(StateDictError);
  });

  it("a key called __proto__ stays a key", () => {
    const value = JSON.parse('{"__proto__": {"polluted": 1}}') as Record<string, unknown>;
    const result = cross({ value, symbol: Symbol.for("x") });
    expect(Object.keys(result.value)).to.deep.equal(["__proto__"]);
    expect(({} as Record<string, unknown>)["polluted"]).to.equal(undefined);
  });

  it("says where something is that cannot cross", async () => {
    const places: [unknown, RegExp][] = [
      [{ a: [1, { "b c": () => 1 }] }, /it\."a"\[1\]\."b c" is a function/],
      [new Map([["key", () => 1]]), /it at "key" is a function/],
      [new Module(), /Module.*stateDict\(\)/],
      [{ p: Promise.resolve(1) }, /could not be cloned/],
      [new WeakMap(), /could not be cloned/],
      [new Proxy({}, {}), /could not be cloned/],
      [{ tensor: Tensor.from(new Float32Array(1), [1]), weak: new WeakSet() }, /could not be cloned/],
    ];
    for (const [value, text] of places) {
      const error = await expectError("RANKCAST_REPLICA_VALUE", () => packValue(value, "it"));
      expect(error).to.be.instanceOf(DistributionError);
      expect(error.message).to.match(text);
    }
  });

  it("a value nested without end is refused, not a stack overflow", async () => {
    for (const innermost of [Symbol.for("x"), 1]) {
      let deep: unknown = innermost;
      for (let depth = 0; depth < 100_000; depth += 1) deep = [deep];
      const error = await expectError("RANKCAST_REPLICA_VALUE", () => packValue(deep, "it"));
      expect(error.message.length).to.be.below(1000);
    }
    // A chain whose links are listed beside it, from either end: the engine follows it when it meets its head first.
    const links: { next?: unknown }[] = [];
    for (let index = 0; index < 100_000; index += 1) links.push(links.length > 0 ? { next: links.at(-1) } : {});
    expect(cross(links)).to.have.length(100_000);
    await expectError("RANKCAST_REPLICA_VALUE", () => packValue(links.reverse(), "it"));
  });
});
