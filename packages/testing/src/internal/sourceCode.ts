/**
 * Values as TypeScript that makes them, to be pasted into a test.
 */
import type { Vocabulary } from "@composable-ts/core/Action"
import * as BigDecimal from "effect/BigDecimal"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Formatter from "effect/Formatter"
import * as Option from "effect/Option"
import { isRecord } from "./differences.ts"

type Tag = { readonly _tag: string }

/** The width of a line. What fits into one is not broken. */
const width = 100

const isIdentifier = /^[A-Za-z_$][\w$]*$/

const nameOf = (key: string): string => isIdentifier.test(key) ? key : JSON.stringify(key)

const bracketed = (open: string, parts: ReadonlyArray<string>, close: string, space: string): string => {
  if (parts.length === 0) return open + close
  const line = `${open}${space}${parts.join(", ")}${space}${close}`
  return line.length <= width && !line.includes("\n")
    ? line
    : `${open}\n${indented(parts.join(",\n"))}\n${close}`
}

/** Each line two columns further in. */
export const indented = (text: string): string => text.replaceAll(/^(?=.)/gm, "  ")

/** An object literal of members that are code already. */
export const literalOf = (members: Readonly<Record<string, string | undefined>>): string =>
  bracketed(
    "{",
    Object.entries(members).flatMap(([key, code]) => code === undefined ? [] : `${nameOf(key)}: ${code}`),
    "}",
    " "
  )

/** Prints values with the constructors of a vocabulary; those of Effect are written as after `import … from "effect"`. */
export const printer = <C extends Tag, E extends Tag>({ declaration, name }: Vocabulary<C, E>) => {
  const isAction = (tag: unknown): tag is string =>
    typeof tag === "string" && (Object.hasOwn(declaration.commands, tag) || Object.hasOwn(declaration.events, tag))

  const record = (value: Readonly<Record<string, unknown>>): string =>
    literalOf(Object.fromEntries(Object.entries(value).map(([key, member]) => [key, print(member)])))

  const instance = (value: object): string => {
    if (BigDecimal.isBigDecimal(value)) {
      return `BigDecimal.fromStringUnsafe(${JSON.stringify(BigDecimal.format(value))})`
    }
    if (DateTime.isDateTime(value) && DateTime.isUtc(value)) {
      return `DateTime.makeUnsafe(${DateTime.toEpochMillis(value)})`
    }
    if (Duration.isDuration(value)) return `Duration.millis(${Duration.toMillis(value)})`
    if (Option.isOption(value)) return Option.isSome(value) ? `Option.some(${print(value.value)})` : "Option.none()"
    if (value instanceof Date) return `new Date(${value.getTime()})`
    if (value instanceof Map) return bracketed("new Map([", [...value].map(print), "])", "")
    if (value instanceof Set) return bracketed("new Set([", [...value].map(print), "])", "")
    // No code is known for it: what it says of itself, where the reader will see that something is left to do.
    return `/* ${Formatter.format(value).replaceAll("*/", "* /")} */`
  }

  const print = (value: unknown): string => {
    if (typeof value === "bigint") return `${value}n`
    if (typeof value === "string") return JSON.stringify(value)
    if (Object.is(value, -0)) return "-0"
    if (typeof value !== "object" || value === null) return String(value)
    if (Array.isArray(value)) return bracketed("[", value.map(print), "]", "")
    if (!isRecord(value)) return instance(value)
    if (!isAction(value["_tag"])) return record(value as Readonly<Record<string, unknown>>)
    const { _tag, ...payload } = value
    return `${name}.${_tag}(${Object.keys(payload).length === 0 ? "" : record(payload)})`
  }

  return print
}
