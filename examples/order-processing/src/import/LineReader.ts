/**
 * The lines of a file, whatever the pieces in which its bytes arrive.
 *
 * Memory is bounded by one line of {@link maxLineBytes}: a longer one is passed over as it comes. Lines end with LF or
 * CRLF, the last one with the file if need be; a byte order mark and blank lines are dropped, and blank lines counted.
 */
import { Stream } from "effect"

/** The longest line, in bytes before its line feed: 1 MiB. */
export const maxLineBytes = 1024 * 1024

/** A line of the file, numbered from 1. */
export type InputLine =
  | { readonly _tag: "Text"; readonly number: number; readonly text: string }
  | { readonly _tag: "TooLong"; readonly number: number }
  | { readonly _tag: "NotUtf8"; readonly number: number }

/** The lines of a stream of bytes, without the blank ones. */
export const lines = <E, R>(bytes: Stream.Stream<Uint8Array, E, R>): Stream.Stream<InputLine, E, R> =>
  Stream.mapAccum(
    bytes,
    () => new LineSplitter(),
    (splitter, chunk) => [splitter, splitter.split(chunk)],
    { onHalt: (splitter) => splitter.end() }
  )

const lineFeed = 10
const firstLine = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false })
const laterLine = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** Cuts chunks into lines, and carries the beginning of a line over to the next chunk. */
class LineSplitter {
  #number = 1
  #pieces: Array<Uint8Array> = []
  #size = 0

  /** The lines that end in this chunk. */
  split(chunk: Uint8Array): ReadonlyArray<InputLine> {
    const complete: Array<InputLine> = []
    let start = 0
    for (let end = chunk.indexOf(lineFeed); end >= 0; end = chunk.indexOf(lineFeed, start)) {
      this.#add(chunk.subarray(start, end))
      complete.push(...this.#take())
      start = end + 1
    }
    this.#add(chunk.subarray(start))
    return complete
  }

  /** The last line, when no line feed ended it. */
  end(): ReadonlyArray<InputLine> {
    return this.#take()
  }

  #add(piece: Uint8Array): void {
    this.#size += piece.length
    if (this.#size > maxLineBytes) this.#pieces = []
    else if (piece.length > 0) this.#pieces.push(piece)
  }

  /** The line collected so far, unless it is blank; the next one begins. */
  #take(): ReadonlyArray<InputLine> {
    const number = this.#number++
    const pieces = this.#pieces
    const tooLong = this.#size > maxLineBytes
    this.#pieces = []
    this.#size = 0
    if (tooLong) return [{ _tag: "TooLong", number }]
    const decoder = number === 1 ? firstLine : laterLine
    try {
      const text = decoder.decode(pieces.length === 1 ? pieces[0] : Buffer.concat(pieces))
      return text.trim() === "" ? [] : [{ _tag: "Text", number, text }]
    } catch {
      // A fatal decoder throws for nothing but bytes that are not UTF-8.
      return [{ _tag: "NotUtf8", number }]
    }
  }
}
