import { OPCODES } from "@rankcast/core/internal";
import { expect } from "chai";

/** `{o.name: o.code for o in pickletools.opcodes}` of CPython 3.11. */
const CPYTHON = `
  INT:49 BININT:4a BININT1:4b BININT2:4d LONG:4c LONG1:8a LONG4:8b STRING:53 BINSTRING:54 SHORT_BINSTRING:55 BINBYTES:42
  SHORT_BINBYTES:43 BINBYTES8:8e BYTEARRAY8:96 NEXT_BUFFER:97 READONLY_BUFFER:98 NONE:4e NEWTRUE:88 NEWFALSE:89 UNICODE:56
  SHORT_BINUNICODE:8c BINUNICODE:58 BINUNICODE8:8d FLOAT:46 BINFLOAT:47 EMPTY_LIST:5d APPEND:61 APPENDS:65 LIST:6c EMPTY_TUPLE:29
  TUPLE:74 TUPLE1:85 TUPLE2:86 TUPLE3:87 EMPTY_DICT:7d DICT:64 SETITEM:73 SETITEMS:75 EMPTY_SET:8f ADDITEMS:90 FROZENSET:91 POP:30
  DUP:32 MARK:28 POP_MARK:31 GET:67 BINGET:68 LONG_BINGET:6a PUT:70 BINPUT:71 LONG_BINPUT:72 MEMOIZE:94 EXT1:82 EXT2:83 EXT4:84
  GLOBAL:63 STACK_GLOBAL:93 REDUCE:52 BUILD:62 INST:69 OBJ:6f NEWOBJ:81 NEWOBJ_EX:92 PROTO:80 STOP:2e FRAME:95 PERSID:50
  BINPERSID:51
`;

describe("the table of opcodes", () => {
  it("is CPython's", () => {
    const recorded = CPYTHON.trim()
      .split(/\s+/)
      .map((pair) => pair.split(":") as [string, string]);
    expect(Object.fromEntries(recorded.map(([name, hex]) => [name, Number.parseInt(hex, 16)]))).to.deep.equal({ ...OPCODES });
  });
});
