/**
 * AES-256-GCM under a subject's key. Node's own module takes 4 to 10 µs for a short value, WebCrypto 20 to 50, so the
 * former is used where there is one, without being imported; the two make and read the same.
 *
 * The nonce is drawn from the key, the place and the value, by HMAC: the same value sealed again for the same place comes
 * out the same, so that a store can compare a repeated append with the first one; and whatever differs gets another
 * nonce, which a random one would promise no better.
 */

/** Encrypts and decrypts under one key. */
export interface Cipher {
  /** The text, readable only with the same key and place. `salt` tells apart what may be sealed twice for one place. */
  readonly seal: (text: string, place: string, salt: string) => string | Promise<string>
  /** The text; nothing, when it was not sealed with this key for this place, or has been changed since. */
  readonly open: (sealed: string, place: string) => string | undefined | Promise<string | undefined>
}

/** Stands before what is sealed, so that another way may follow one day. */
const version = "1:"
const nonceSize = 12
const tagSize = 16

/** How many bytes a key takes. */
export const keySize = 32

interface Web {
  readonly getRandomValues: (bytes: Uint8Array) => Uint8Array
  readonly subtle: {
    readonly importKey: (...args: ReadonlyArray<unknown>) => Promise<unknown>
    readonly sign: (...args: ReadonlyArray<unknown>) => Promise<ArrayBuffer>
    readonly encrypt: (...args: ReadonlyArray<unknown>) => Promise<ArrayBuffer>
    readonly decrypt: (...args: ReadonlyArray<unknown>) => Promise<ArrayBuffer>
  }
}
declare const crypto: Web
declare const TextEncoder: new() => { readonly encode: (text: string) => Uint8Array }
declare const TextDecoder: new() => { readonly decode: (utf8: Uint8Array) => string }
declare const btoa: (binary: string) => string
declare const atob: (base64: string) => string

/** The parts of `node:crypto` and `node:buffer` that are used. */
interface Node {
  readonly crypto: {
    readonly createSecretKey: (key: Uint8Array) => NodeKey
    readonly createHmac: (hash: "sha256", key: NodeKey) => Hmac
    readonly createCipheriv: (name: "aes-256-gcm", key: NodeKey, nonce: Uint8Array) => NodeCipher
    readonly createDecipheriv: (
      name: "aes-256-gcm",
      key: NodeKey,
      nonce: Uint8Array,
      options: { readonly authTagLength: number }
    ) => NodeDecipher
  }
  readonly Buffer: {
    readonly concat: (parts: ReadonlyArray<Uint8Array>) => Base64
    readonly from: (text: string, encoding: "base64") => Base64
  }
}
interface NodeKey {
  readonly type: string
}
interface Base64 extends Uint8Array {
  toString(encoding?: "base64"): string
}
interface Hmac {
  readonly update: (text: string) => Hmac
  readonly digest: () => Uint8Array
}
interface NodeCipher {
  readonly setAAD: (aad: Uint8Array) => void
  readonly update: (text: string, encoding: "utf8") => Uint8Array
  readonly final: () => Uint8Array
  readonly getAuthTag: () => Uint8Array
}
interface NodeDecipher {
  readonly setAAD: (aad: Uint8Array) => void
  readonly setAuthTag: (tag: Uint8Array) => void
  readonly update: (bytes: Uint8Array, from: undefined, to: "utf8") => string
  readonly final: (encoding: "utf8") => string
}

const utf8 = new TextEncoder()
const text = new TextDecoder()

/** A fresh random key. */
export const randomKey = (): Uint8Array => crypto.getRandomValues(new Uint8Array(keySize))

/** What the nonce is drawn from. As JSON, so that no two places and texts run together to the same. */
const nonceInput = (value: string, place: string, salt: string): string => JSON.stringify([place, salt, value])

/** The key's two uses, each with a key of its own. */
const uses = ["composable-ts personal: seal", "composable-ts personal: nonce"] as const

/** With Node's own module. */
export const nodeCipher = ({ Buffer, crypto }: Node, key: Uint8Array): Cipher => {
  // Handed over as bytes, a key would be looked at anew by every call, which takes as long as the encryption.
  const root = crypto.createSecretKey(key)
  const keyFor = (use: string) => crypto.createSecretKey(crypto.createHmac("sha256", root).update(use).digest())
  const [sealKey, nonceKey] = [keyFor(uses[0]), keyFor(uses[1])]
  return {
    seal: (value, place, salt) => {
      const nonce = crypto.createHmac("sha256", nonceKey).update(nonceInput(value, place, salt)).digest()
        .subarray(0, nonceSize)
      const cipher = crypto.createCipheriv("aes-256-gcm", sealKey, nonce)
      cipher.setAAD(utf8.encode(place))
      const sealed = [nonce, cipher.update(value, "utf8"), cipher.final(), cipher.getAuthTag()]
      return version + Buffer.concat(sealed).toString("base64")
    },
    open: (sealed, place) => {
      if (!sealed.startsWith(version)) return undefined
      const bytes = Buffer.from(sealed.slice(version.length), "base64")
      if (bytes.length < nonceSize + tagSize) return undefined
      const cipher = crypto.createDecipheriv("aes-256-gcm", sealKey, bytes.subarray(0, nonceSize), {
        authTagLength: tagSize
      })
      cipher.setAAD(utf8.encode(place))
      cipher.setAuthTag(bytes.subarray(-tagSize))
      const value = cipher.update(bytes.subarray(nonceSize, -tagSize), undefined, "utf8")
      try {
        return value + cipher.final("utf8")
      } catch {
        return undefined
      }
    }
  }
}

/** Not more characters than a call takes arguments. */
const chunk = 8192

const toBase64 = (bytes: Uint8Array): string => {
  let binary = ""
  for (let i = 0; i < bytes.length; i += chunk) binary += String.fromCharCode(...bytes.subarray(i, i + chunk))
  return btoa(binary)
}

const fromBase64 = (base64: string): Uint8Array | undefined => {
  try {
    return Uint8Array.from(atob(base64), (byte) => byte.charCodeAt(0))
  } catch {
    return undefined
  }
}

/** With WebCrypto, which every runtime has. */
export const webCipher = (key: Uint8Array): Cipher => {
  const { subtle } = crypto
  const hmac = { name: "HMAC", hash: "SHA-256" }
  const keys = subtle.importKey("raw", key, hmac, false, ["sign"]).then(async (root) => {
    const [sealKey, nonceKey] = await Promise.all(uses.map((use) => subtle.sign(hmac, root, utf8.encode(use))))
    return Promise.all([
      subtle.importKey("raw", sealKey, "AES-GCM", false, ["encrypt", "decrypt"]),
      subtle.importKey("raw", nonceKey, hmac, false, ["sign"])
    ])
  })
  return {
    seal: async (value, place, salt) => {
      const [sealKey, nonceKey] = await keys
      const drawn = await subtle.sign(hmac, nonceKey, utf8.encode(nonceInput(value, place, salt)))
      const iv = new Uint8Array(drawn, 0, nonceSize)
      const algorithm = { name: "AES-GCM", iv, additionalData: utf8.encode(place) }
      const sealed = new Uint8Array(await subtle.encrypt(algorithm, sealKey, utf8.encode(value)))
      const bytes = new Uint8Array(nonceSize + sealed.length)
      bytes.set(iv)
      bytes.set(sealed, nonceSize)
      return version + toBase64(bytes)
    },
    open: async (sealed, place) => {
      const bytes = sealed.startsWith(version) ? fromBase64(sealed.slice(version.length)) : undefined
      if (bytes === undefined || bytes.length < nonceSize + tagSize) return undefined
      const [sealKey] = await keys
      const algorithm = {
        name: "AES-GCM",
        iv: bytes.subarray(0, nonceSize),
        additionalData: utf8.encode(place)
      }
      try {
        return text.decode(new Uint8Array(await subtle.decrypt(algorithm, sealKey, bytes.subarray(nonceSize))))
      } catch {
        return undefined
      }
    }
  }
}

/** Node's modules, as far as this runtime has them. */
export const nodeModules = (): Node | undefined => {
  const { process } = globalThis as {
    readonly process?: { readonly getBuiltinModule?: (name: string) => unknown }
  }
  const crypto = process?.getBuiltinModule?.("node:crypto")
  const buffer = process?.getBuiltinModule?.("node:buffer")
  return crypto === undefined || buffer === undefined ? undefined : { crypto, ...buffer } as Node
}

const node = nodeModules()

/** The cipher of a key. */
export const make = (key: Uint8Array): Cipher => node === undefined ? webCipher(key) : nodeCipher(node, key)
