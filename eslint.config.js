import tseslint from 'typescript-eslint';

export default tseslint.config(
  { ignores: ['lib/', 'dist/', 'node_modules/'] },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { project: './tsconfig.check.json' } },
    rules: {
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
    },
  },
  // The domain is pure: text in, value out. Only adapters touch processes, files and the network (docs/architecture.md).
  {
    files: [
      'build/boot/{deployed,documents,frames,jails,report,stages,steps}.ts',
      'build/config/**',
      'build/pf/**',
      'build/policy/**',
      'build/rc/**',
      'build/overlay/{extra,extra-places,render,view}.ts',
      'build/rootfs/{tree,prune,mtree,layout,ffs,sparse}.ts',
      'build/release/{manifest,pins}.ts',
    ],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              regex: '^node:(?!net$)|^zx|/host/|/pipeline/|/commands/|/monitor/',
              message: 'domain code is pure',
            },
          ],
        },
      ],
    },
  },
);
