import { expect, test } from "vitest";
import { EventParser, type ServerEvent } from "../src/event-stream.ts";

const parse = (...chunks: string[]): ServerEvent[] => {
  const parser = new EventParser();
  return chunks.flatMap((chunk) => parser.push(chunk));
};

test("an event is complete with its empty line", () => {
  expect(parse("event: broadcast\ndata: {}\n")).toEqual([]);
  expect(parse("event: broadcast\nid: 7\ndata: {}\n\n")).toEqual([
    { event: "broadcast", data: "{}", id: "7" },
  ]);
});

test("lines of data are joined, comments and empty events are passed over", () => {
  expect(parse(": ping\n\ndata: a\ndata:b\n\n\n")).toEqual([{ event: "message", data: "a\nb" }]);
});

test("any cut gives the same events, whatever the line ends are", () => {
  const text = "event: x\r\ndata: 1\r\n\r\ndata: 2\rdata: 3\r\rdata: ä\n\n";
  const whole = parse(text);

  for (let cut = 0; cut <= text.length; cut += 1) {
    expect(parse(text.slice(0, cut), text.slice(cut))).toEqual(whole);
  }
  expect(parse(...text)).toEqual(whole);
  expect(whole.map(({ data }) => data)).toEqual(["1", "2\n3", "ä"]);
});

test("an endless line is refused", () => {
  expect(() =>
    parse(
      "data: ",
      ..."x"
        .repeat(12)
        .split("")
        .map((x) => x.repeat(100_000)),
    ),
  ).toThrow(RangeError);
});
