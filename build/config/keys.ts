import type { z } from 'zod';
import { ACCESS_KEYS } from './keys/access.js';
import { DISK_KEYS } from './keys/disk.js';
import { FILE_KEYS } from './keys/files.js';
import { IDENTITY_KEYS } from './keys/identity.js';
import { JAIL_KEYS } from './keys/jails.js';
import { NETWORK_KEYS } from './keys/network.js';
import { NOTICE_KEYS } from './keys/notices.js';
import { OPERATOR_KEYS } from './keys/operator.js';
import { RELEASE_KEYS } from './keys/release.js';

/** Every key of build.cfg, in the order of build.cfg.example; each section has a file in keys/. */
export const KEYS = {
  ...IDENTITY_KEYS,
  ...RELEASE_KEYS,
  ...ACCESS_KEYS,
  ...NETWORK_KEYS,
  ...JAIL_KEYS,
  ...DISK_KEYS,
  ...OPERATOR_KEYS,
  ...NOTICE_KEYS,
  ...FILE_KEYS,
};

export type KeyName = keyof typeof KEYS;

export const KEY_NAMES = Object.keys(KEYS) as readonly KeyName[];

/** Keys whose values never reach a log, a build record or a world-readable file. */
export const SECRET_KEYS: readonly KeyName[] = ['ROOT_PASSWORD_HASH', 'NOTIFY_WEBHOOK'];

/** A configuration: every key with its value. */
export type Config = { readonly [K in KeyName]: z.output<(typeof KEYS)[K]['schema']> };
