# What the modules take from nixpkgs' lib, in the least form that still says no: options are declared once, definitions
# are of their type, what has no default must be set, what nobody declared can't be. So that modules are evaluated, and
# their options listed, where there is no nixpkgs. With FLOE_NIXPKGS_LIB the tests take the real one instead.
let
  inherit (builtins)
    all
    any
    attrNames
    concatMap
    concatStringsSep
    elem
    elemAt
    filter
    foldl'
    genList
    head
    isAttrs
    isBool
    isFloat
    isFunction
    isInt
    isList
    isPath
    isString
    length
    listToAttrs
    map
    mapAttrs
    match
    replaceStrings
    stringLength
    substring
    toJSON
    ;

  # A definition wrapped by mkIf, mkMerge, mkDefault or mkForce.
  kindOf = value: if isAttrs value then value._type or null else null;

  # Down to the attributes, so that which of them there are is known without knowing the conditions, which may ask for
  # other options.
  attributesOf =
    value:
    if kindOf value == "merge" then
      concatMap attributesOf value.contents
    else if kindOf value == "if" then
      map (mapAttrs (_: content: value // { inherit content; })) (attributesOf value.content)
    else
      [ value ];

  # The values that hold, with their priorities.
  valuesOf =
    value:
    if kindOf value == "merge" then
      concatMap valuesOf value.contents
    else if kindOf value == "if" then
      (if value.condition then valuesOf value.content else [ ])
    else if kindOf value == "override" then
      map (inner: inner // { inherit (value) priority; }) (valuesOf value.content)
    else
      [
        {
          inherit value;
          priority = 100;
        }
      ];

  strongest =
    definitions:
    let
      found = concatMap valuesOf definitions;
      least = foldl' (low: each: if each.priority < low then each.priority else low) 10000 found;
    in
    map (each: each.value) (filter (each: each.priority == least) found);

  show = loc: concatStringsSep "." loc;

  mergeType =
    loc: type: values:
    let
      wrong = filter (value: !type.check value) values;
    in
    if wrong != [ ] then
      throw "A definition for option `${show loc}' is not of type `${type.description}': ${toJSON (head wrong)}"
    else
      type.merge loc values;

  mergeOption =
    loc: option: definitions:
    let
      values = strongest definitions;
    in
    if values != [ ] then
      mergeType loc option.type values
    else if option ? default then
      mergeType loc option.type [ option.default ]
    else
      throw "The option `${show loc}' is used but not defined";

  isOption = value: kindOf value == "option";

  declare =
    loc: earlier: later:
    earlier
    // mapAttrs (
      name: value:
      if !(earlier ? ${name}) then
        value
      else if isOption value || isOption earlier.${name} then
        throw "The option `${show (loc ++ [ name ])}' is declared twice"
      else
        declare (loc ++ [ name ]) earlier.${name} value
    ) later;

  withLoc = prefix: mapAttrs (name: value: if isOption value then value // { loc = prefix ++ [ name ]; } else withLoc (prefix ++ [ name ]) value);

  evaluate =
    loc: options: definitions:
    let
      sets = concatMap attributesOf definitions;
      unknown = concatMap (set: filter (name: !(options ? ${name})) (attrNames set)) sets;
      defined = name: map (set: set.${name}) (filter (set: set ? ${name}) sets);
    in
    if unknown != [ ] then
      throw "The option `${show (loc ++ [ (head unknown) ])}' does not exist"
    else
      mapAttrs (name: value: (if isOption value then mergeOption else evaluate) (loc ++ [ name ]) value (defined name)) options;

  evalModules =
    {
      modules,
      specialArgs ? { },
      prefix ? [ ],
    }:
    let
      args = specialArgs // { inherit config options lib; };
      load =
        module:
        let
          loaded = if isPath module || isString module then import module else module;
          set = if isFunction loaded then loaded args else loaded;
        in
        concatMap load (set.imports or [ ])
        ++ [
          (
            if set ? options || set ? config then
              {
                options = set.options or { };
                config = set.config or { };
              }
            else
              {
                options = { };
                config = removeAttrs set [ "imports" ];
              }
          )
        ];
      loaded = concatMap load modules;
      options = withLoc prefix (foldl' (declare prefix) { } (map (module: module.options) loaded));
      config = evaluate prefix options (map (module: module.config) loaded);
    in
    {
      inherit config options;
    };

  # A type whose definitions must agree.
  simple = description: check: {
    inherit description check;
    merge =
      loc: values:
      if all (value: value == head values) values then head values else throw "The option `${show loc}' has conflicting definitions";
    getSubOptions = _: { };
  };
  inParentheses = type: if match ".* or .*" type.description != null then "(${type.description})" else type.description;
  isNumber = value: isInt value || isFloat value;

  types = rec {
    bool = simple "boolean" isBool;
    int = simple "signed integer" isInt;
    str = simple "string" isString;
    nonEmptyStr = simple "non-empty string" (value: isString value && match "[[:space:]]*" value == null);
    package = simple "package" (value: isAttrs value && value.type or null == "derivation");
    raw = simple "raw value" (_: true) // {
      merge = loc: values: if length values == 1 then head values else throw "The option `${show loc}' is defined more than once";
    };
    # That of nixpkgs merges sets; this one wants them to be the same.
    anything = simple "anything" (_: true);
    strMatching = pattern: simple "string matching the pattern ${pattern}" (value: isString value && match pattern value != null);
    enum = values: simple "one of ${concatStringsSep ", " (map toJSON values)}" (value: elem value values);
    ints.between = low: high: simple "integer between ${toString low} and ${toString high} (both inclusive)" (value: isInt value && value >= low && value <= high);
    ints.positive = simple "positive integer, meaning >0" (value: isInt value && value > 0);
    number = simple "integer or floating point number" isNumber;
    numbers.between = low: high: simple "integer or floating point number between ${toJSON low} and ${toJSON high} (both inclusive)" (value: isNumber value && value >= low && value <= high);

    addCheck = type: check: type // { check = value: type.check value && check value; };

    either = left: right: {
      description = "${left.description} or ${right.description}";
      check = value: left.check value || right.check value;
      merge = loc: values: (if all left.check values then left else right).merge loc values;
      getSubOptions = _: { };
    };

    nullOr = type: {
      description = "null or ${inParentheses type}";
      check = value: value == null || type.check value;
      merge =
        loc: values:
        if all (value: value == null) values then
          null
        else if any (value: value == null) values then
          throw "The option `${show loc}' is null here and not null there"
        else
          type.merge loc values;
      inherit (type) getSubOptions;
    };

    listOf = type: {
      description = "list of ${inParentheses type}";
      check = isList;
      merge = loc: values: concatMap (value: map (each: mergeType (loc ++ [ "*" ]) type [ each ]) value) values;
      getSubOptions = loc: type.getSubOptions (loc ++ [ "*" ]);
    };

    attrsOf = type: {
      description = "attribute set of ${inParentheses type}";
      check = isAttrs;
      merge =
        loc: values:
        let
          sets = concatMap attributesOf values;
          names = attrNames (foldl' (all: set: all // set) { } sets);
          valuesAt = name: strongest (map (set: set.${name}) (filter (set: set ? ${name}) sets));
        in
        listToAttrs (
          concatMap (
            name:
            let
              found = valuesAt name;
            in
            if found == [ ] then
              [ ]
            else
              [
                {
                  inherit name;
                  value = mergeType (loc ++ [ name ]) type found;
                }
              ]
          ) names
        );
      getSubOptions = loc: type.getSubOptions (loc ++ [ "<name>" ]);
    };

    submodule = module: {
      description = "submodule";
      check = isAttrs;
      merge =
        loc: values:
        (evalModules {
          modules = [ module ] ++ map (config: { inherit config; }) values;
          prefix = loc;
        }).config;
      getSubOptions =
        loc:
        (evalModules {
          modules = [ module ];
          prefix = loc;
        }).options;
    };
  };

  lib = {
    inherit types evalModules isOption;
    inherit (builtins) all concatMap concatStringsSep elem filter mapAttrs replaceStrings;

    mkOption = option: option // { _type = "option"; };
    mkEnableOption = what: {
      _type = "option";
      type = types.bool;
      default = false;
      example = true;
      description = "Whether to enable ${what}.";
    };
    literalExpression = text: {
      _type = "literalExpression";
      inherit text;
    };
    mkIf = condition: content: {
      _type = "if";
      inherit condition content;
    };
    mkMerge = contents: {
      _type = "merge";
      inherit contents;
    };
    mkOverride = priority: content: {
      _type = "override";
      inherit priority content;
    };
    mkDefault = lib.mkOverride 1000;
    mkForce = lib.mkOverride 50;

    optional = condition: value: if condition then [ value ] else [ ];
    optionals = condition: list: if condition then list else [ ];
    optionalAttrs = condition: set: if condition then set else { };
    unique = foldl' (found: each: if elem each found then found else found ++ [ each ]) [ ];
    hasPrefix = prefix: text: substring 0 (stringLength prefix) text == prefix;
    filterAttrs = keep: set: removeAttrs set (filter (name: !keep name set.${name}) (attrNames set));
    mapAttrsToList = make: set: map (name: make name set.${name}) (attrNames set);
    zipListsWith = make: left: right: genList (index: make (elemAt left index) (elemAt right index)) (if length left < length right then length left else length right);
    toIntBase10 = text: builtins.fromJSON (head (match "0*([0-9]+)" text));
    getExe' = package: program: "${package}/bin/${program}";
  };
in
lib
