/**
 * Keys as they are stored: as they are, or encrypted under a master key (AES-256-GCM, bound to their subject), which the
 * database never sees, so that a copy of it opens nothing.
 */
import * as Redacted from "effect/Redacted"
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto"

/** A key as its row holds it. */
export interface Stored {
  readonly key: Uint8Array
  readonly wrapped: boolean
}

/** Turns keys into what is stored, and back. */
export interface Wrapping {
  readonly wrap: (subject: string, key: Uint8Array) => Stored
  /** The key; or, as a text, why there is none. */
  readonly unwrap: (subject: string, stored: Stored) => Uint8Array | string
}

const keySize = 32
const nonceSize = 12
const tagSize = 16

/** Keys stored as they are. */
export const none: Wrapping = {
  wrap: (_subject, key) => ({ key, wrapped: false }),
  unwrap: (_subject, { key, wrapped }) => wrapped ? "it is encrypted under a master key, and none was given" : key
}

/** Keys under a master key, given as base64 of 32 bytes. Those that were stored before there was one are still read. */
export const make = (masterKey: Redacted.Redacted): Wrapping => {
  const master = Buffer.from(Redacted.value(masterKey), "base64")
  if (master.length !== keySize) {
    throw new TypeError(`A master key is ${keySize} random bytes in base64, as of \`openssl rand -base64 ${keySize}\``)
  }
  return {
    wrap: (subject, key) => {
      const nonce = randomBytes(nonceSize)
      const cipher = createCipheriv("aes-256-gcm", master, nonce).setAAD(Buffer.from(subject))
      return {
        key: Buffer.concat([nonce, cipher.update(key), cipher.final(), cipher.getAuthTag()]),
        wrapped: true
      }
    },
    unwrap: (subject, { key, wrapped }) => {
      if (!wrapped) return key
      try {
        const cipher = createDecipheriv("aes-256-gcm", master, key.subarray(0, nonceSize), { authTagLength: tagSize })
          .setAAD(Buffer.from(subject)).setAuthTag(key.subarray(-tagSize))
        return Buffer.concat([cipher.update(key.subarray(nonceSize, -tagSize)), cipher.final()])
      } catch {
        return "it does not open with the master key that was given"
      }
    }
  }
}
