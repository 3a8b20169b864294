/** The relative links of a Markdown document and the headings they may point at. */
import { existsSync, readFileSync } from "node:fs"
import { dirname, join, normalize } from "node:path"
import type { Problem } from "./Fence.ts"

/** The document without fences and inline code, line by line, since what is code there is no link and no heading. */
const prose = (text: string): ReadonlyArray<string> => {
  let fence = ""
  return text.split("\n").map((line) => {
    const marker = /^\s*(`{3,}|~{3,})/.exec(line)?.[1] ?? ""
    if (fence !== "") {
      if (marker.startsWith(fence)) fence = ""
      return ""
    }
    fence = marker
    return marker === "" ? line.replaceAll(/`[^`]*`/g, (code) => "x".repeat(code.length)) : ""
  })
}

/** The anchors a document offers, made of its headings the way GitHub makes them. */
const anchors = (text: string): ReadonlySet<string> => {
  const seen = new Map<string, number>()
  const lines = text.split("\n")
  return new Set(
    prose(text).flatMap((line, index) => {
      if (!/^#{1,6}\s/.test(line)) return []
      const heading = (lines[index] ?? "").replace(/^#+\s+/, "").replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1")
      const slug = heading.trim().toLowerCase().replaceAll(/[^\p{L}\p{N}\s_-]/gu, "").replaceAll(/\s/g, "-")
      const nth = seen.get(slug) ?? 0
      seen.set(slug, nth + 1)
      return [nth === 0 ? slug : `${slug}-${nth}`]
    })
  )
}

const targets = (line: string): ReadonlyArray<string> => [
  ...[...line.matchAll(/\]\(\s*<?([^)>\s]+)>?[^)]*\)/g)].flatMap(([, target]) => target ?? []),
  ...[...line.matchAll(/^\s*\[[^\]]+\]:\s*<?([^>\s]+)/g)].flatMap(([, target]) => target ?? [])
]

/** Links of `document` (a path relative to `root`) whose file or heading does not exist. */
export const broken = (root: string, document: string, text: string): ReadonlyArray<Problem> =>
  prose(text).flatMap((line, index) =>
    targets(line).flatMap((target) => {
      if (/^[a-z][a-z+.-]*:/i.test(target)) return []
      const [path = "", anchor = ""] = target.split("#")
      const file = path === "" ? document : normalize(join(dirname(document), decodeURIComponent(path)))
      const at = { document, line: index + 1 }
      if (file.startsWith("..")) return [{ ...at, message: `the link ${target} leaves the repository` }]
      if (path !== "" && !existsSync(join(root, file))) {
        return [{ ...at, message: `the link ${target} points at ${file}, which does not exist` }]
      }
      if (anchor === "" || !file.endsWith(".md")) {
        return []
      }
      return anchors(file === document ? text : readFileSync(join(root, file), "utf8")).has(anchor)
        ? []
        : [{ ...at, message: `the link ${target} names a heading that ${file} does not have` }]
    })
  )
