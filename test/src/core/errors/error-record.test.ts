/** Errors as they cross threads, processes and wires: JSON in between, as on the wire. */
import { FormatError, StateDictError } from "@rankcast/core";
import { type ErrorRecord, fromErrorRecord, toErrorRecord } from "@rankcast/core/runtime";
import { expect } from "chai";

const cross = (thrown: unknown): Error => fromErrorRecord(JSON.parse(JSON.stringify(toErrorRecord(thrown))) as ErrorRecord);

describe("errors/error-record", () => {
  it("keeps class, code, remedy, details and causes of our own", () => {
    const cause = new FormatError("RANKCAST_CHECKSUM", "CRC differs", { details: { record: "data/0" } });
    const error = cross(new StateDictError("RANKCAST_STATE_DICT_STRICT", "no", { details: { key: "a" }, remedy: "do it", cause }));
    expect(error).to.be.instanceOf(StateDictError).and.to.include({ code: "RANKCAST_STATE_DICT_STRICT", remedy: "do it" });
    expect((error as StateDictError).details).to.deep.equal({ key: "a" });
    expect(error.cause).to.be.instanceOf(FormatError).and.to.include({ code: "RANKCAST_CHECKSUM", class: "integrity" });
  });

  it("keeps the language's classes, names and plain fields of foreign errors", () => {
    for (const kind of [TypeError, RangeError, SyntaxError, ReferenceError, URIError, EvalError]) {
      expect(cross(new kind("x")))
        .to.be.instanceOf(kind)
        .and.to.include({ message: "x" });
    }
    class ShapeError extends TypeError {
      override readonly name = "ShapeError";
      readonly axis = 3;
      readonly tensor = { huge: true };
    }
    const error = cross(Object.assign(new ShapeError("axis 3"), { code: "E_SHAPE" }));
    expect(error).to.be.instanceOf(TypeError).and.to.include({ name: "ShapeError", axis: 3, code: "E_SHAPE" });
    expect(error).to.not.have.property("tensor");
  });

  it("an error of several keeps the first of them, two levels deep", () => {
    const inner = new AggregateError([new RangeError("deep"), new AggregateError([new Error("too deep")])], "inner");
    const error = cross(
      new AggregateError([new TypeError("a"), inner, ...new Array<Error>(20).fill(new Error("more"))], "many"),
    ) as AggregateError;
    expect(error).to.be.instanceOf(AggregateError).and.to.include({ message: "many" });
    expect(error.errors).to.have.length(16);
    expect(error.errors[0]).to.be.instanceOf(TypeError);
    expect(error.errors[1].errors[0]).to.be.instanceOf(RangeError);
    expect(error.errors[1].errors[1].errors).to.deep.equal([]);
  });

  it("a field called __proto__ stays a field", () => {
    const hostile = Object.defineProperty(new Error("x"), "__proto__", { value: "polluted", enumerable: true });
    const error = cross(hostile);
    expect(Object.getPrototypeOf(error)).to.equal(Error.prototype);
  });

  it("gives a text for whatever may be thrown, and never throws", () => {
    for (const thrown of [Symbol("s"), Object.create(null), null, undefined, 5n, { toString: () => ({}) }]) {
      expect(cross(thrown).message).to.be.a("string").and.not.to.equal("");
    }
    expect(cross(Symbol("s")).message).to.equal("Symbol(s)");
  });
});
