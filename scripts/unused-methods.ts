import { join, relative } from 'node:path';
import type { ClassDeclaration, Expression, Identifier, InterfaceDeclaration, Node, SourceFile } from 'typescript/unstable/ast';
import {
  isBindingElement,
  isClassDeclaration,
  isFunctionTypeNode,
  isIdentifier,
  isInterfaceDeclaration,
  isMethodDeclaration,
  isMethodSignatureDeclaration,
  isPropertyAccessExpression,
  isPropertySignatureDeclaration,
  isSpreadAssignment,
} from 'typescript/unstable/ast/is';
import { API, type Checker, type InterfaceType, type Symbol, type Type } from 'typescript/unstable/sync';

/** A method that no production code calls. */
export interface UnusedMethod {
  /** `FILE:LINE`, from the root. */
  readonly at: string;
  readonly owner: string;
  readonly name: string;
}

interface Method extends UnusedMethod {
  /** What it can be called on: its owner, and the classes that extend it. */
  readonly types: Type[];
}

/** Called by the language, not by name. */
const IMPLICIT: ReadonlySet<string> = new Set(['toString', 'toJSON']);
/** In the comment of an interface or a method that is called from elsewhere, with who calls it. */
const UNCALLED = /@uncalled \w/;

/**
 * The methods of interfaces and classes that no production code calls, which the check for unused exports does not see. One
 * counts as called when its name is read from a value of its type, or of a type that this one can stand for (most callers
 * know a narrower interface), or when a value of its type is spread into one of another.
 */
export function findUnusedMethods(root: string, isProduction: (path: string) => boolean): UnusedMethod[] {
  const api = new API({ cwd: root });
  try {
    const project = api.updateSnapshot({ openProject: join(root, 'tsconfig.json') }).getProjects()[0];
    if (project === undefined) throw new Error(`${root}/tsconfig.json was not read`);
    const { program, checker } = project;
    const paths = program.getSourceFileNames().filter((path) => isProduction(relative(root, path)));
    const files = paths.flatMap((path) => program.getSourceFile(path) ?? []);
    const unused = methodsOf(files, root, checker);
    removeCalled(unused, files, checker);
    return [...unused.values()].map(({ at, owner, name }) => ({ at, owner, name }));
  } finally {
    api.close();
  }
}

/** By the declaration, as the checker knows it. */
type Methods = Map<string, Method>;

function declarationsOf(symbol: Symbol | undefined): string[] {
  return (symbol?.declarations ?? []).map(({ path, index }) => `${path} ${index}`);
}

function methodsOf(files: readonly SourceFile[], root: string, checker: Checker): Methods {
  const methods: Methods = new Map();
  const typesOf = new Map<number, Type[]>();
  function typesFor({ id }: Type): Type[] {
    const types = typesOf.get(id) ?? [];
    typesOf.set(id, types);
    return types;
  }
  for (const file of files) {
    visitAll(file, (node) => {
      if (!isInterfaceDeclaration(node) && !isClassDeclaration(node)) return;
      const symbol = node.name === undefined ? undefined : checker.getSymbolAtLocation(node.name);
      if (symbol === undefined || isExcused(node, file)) return;
      const type = checker.getDeclaredTypeOfSymbol(symbol);
      const types = typesFor(type);
      types.push(type);
      if (isClassDeclaration(node)) for (const base of checker.getBaseTypes(type as InterfaceType)) typesFor(base).push(type);
      for (const name of methodNames(node, file)) {
        const line = file.text.slice(0, name.getStart(file)).split('\n').length;
        const method = { at: `${relative(root, file.fileName)}:${line}`, owner: symbol.name, name: name.text, types };
        const [declaration] = declarationsOf(checker.getSymbolAtLocation(name));
        if (declaration !== undefined && !IMPLICIT.has(name.text)) methods.set(declaration, method);
      }
    });
  }
  return methods;
}

function isExcused(node: Node, file: SourceFile): boolean {
  return UNCALLED.test(file.text.slice(node.getFullStart(), node.getStart(file)));
}

function methodNames(owner: InterfaceDeclaration | ClassDeclaration, file: SourceFile): Identifier[] {
  return [...owner.members].flatMap((member) => {
    const isMethod =
      isMethodSignatureDeclaration(member) ||
      isMethodDeclaration(member) ||
      (isPropertySignatureDeclaration(member) && member.type !== undefined && isFunctionTypeNode(member.type));
    return isMethod && isIdentifier(member.name) && !isExcused(member, file) ? [member.name] : [];
  });
}

function removeCalled(unused: Methods, files: readonly SourceFile[], checker: Checker): void {
  const byName = Map.groupBy(unused, ([, { name }]) => name);
  const seen = new Set<string>();
  function called(type: Type, name: string): void {
    if (seen.has(`${type.id} ${name}`)) return;
    seen.add(`${type.id} ${name}`);
    for (const declaration of declarationsOf(checker.getPropertyOfType(type, name))) unused.delete(declaration);
    for (const [declaration, { types }] of byName.get(name) ?? []) {
      if (unused.has(declaration) && types.some((each) => checker.isTypeAssignableTo(each, type))) unused.delete(declaration);
    }
  }
  for (const file of files) {
    const reads: { readonly from: Node; readonly name: string }[] = [];
    const spreads: { readonly from: Node; readonly into: Expression }[] = [];
    visitAll(file, (node) => {
      if (isPropertyAccessExpression(node)) reads.push({ from: node.expression, name: node.name.text });
      if (isSpreadAssignment(node)) spreads.push({ from: node.expression, into: node.parent as Expression });
      if (!isBindingElement(node)) return;
      const name = node.propertyName ?? node.name;
      if (name !== undefined && isIdentifier(name)) reads.push({ from: node.parent, name: name.text });
    });
    const known = reads.filter(({ name }) => byName.has(name));
    const types = checker.getTypeAtLocation(known.map(({ from }) => from));
    for (const [index, { name }] of known.entries()) {
      const type = types[index];
      if (type !== undefined) called(type, name);
    }
    for (const { from, into } of spreads) {
      const type = checker.getTypeAtLocation(from);
      const target = checker.getContextualType(into);
      for (const property of type === undefined ? [] : checker.getPropertiesOfType(type)) {
        const wanted = target === undefined ? [] : declarationsOf(checker.getPropertyOfType(target, property.name));
        for (const declaration of declarationsOf(property)) if (!wanted.includes(declaration)) unused.delete(declaration);
      }
    }
  }
}

function visitAll(node: Node, visit: (node: Node) => void): void {
  visit(node);
  node.forEachChild((child) => visitAll(child, visit));
}
