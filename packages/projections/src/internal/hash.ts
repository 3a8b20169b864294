/**
 * A small hash, the same in every process and version of the program: keys of messages and instances of sagas are divided
 * among partitions by it, so it must never change.
 */

/** FNV-1a over the text's UTF-16 units, with a choice of seeds: a whole number from 0 to 2³² − 1. */
export const hash = (text: string, seed = 0x811c9dc5): number => {
  let h = seed
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  // The last units have hardly touched the upper bits, nor the lower ones the upper units.
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  return (h ^ (h >>> 13)) >>> 0
}
