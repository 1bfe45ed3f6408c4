package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const reference = "#/definitions/"

// writeSchemas writes one JSON schema for each kind: FOLDER/group/kind_version.json, the core group's version standing for its name, as kubeconform's
// template {{.Group}}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json asks for them. They are strict: a field that the API doesn't know is an error.
func writeSchemas(swagger, crd, folder string) error {
	content, err := os.ReadFile(swagger)
	if err != nil {
		return err
	}
	var api struct{ Definitions map[string]object }
	if err := json.Unmarshal(content, &api); err != nil {
		return fmt.Errorf("%s: %w", swagger, err)
	}
	for name, definition := range api.Definitions {
		api.Definitions[name] = strict(name, definition).(object)
	}
	kinds := 0
	for name, definition := range api.Definitions {
		for _, entry := range list(definition["x-kubernetes-group-version-kind"]) {
			group, version, kind := text(field(entry, "group")), text(field(entry, "version")), text(field(entry, "kind"))
			if definition["properties"] == nil || kind == "" {
				continue
			}
			needed := map[string]object{}
			collect(definition, api.Definitions, needed)
			schema := maps.Clone(api.Definitions[name])
			schema["definitions"] = needed
			if err := write(folder, group, version, kind, schema); err != nil {
				return err
			}
			kinds++
		}
	}
	own, err := writeOwn(crd, folder)
	if err != nil {
		return err
	}
	fmt.Printf("schemas of %d kinds\n", kinds+own)
	return nil
}

// writeOwn does so for the kinds of a CustomResourceDefinition.
func writeOwn(crd, folder string) (int, error) {
	_, objects, err := manifests(crd)
	if err != nil {
		return 0, err
	}
	kinds := 0
	for _, definition := range objects {
		group, kind := text(field(definition, "spec", "group")), text(field(definition, "spec", "names", "kind"))
		for _, version := range list(field(definition, "spec", "versions")) {
			schema, ok := strict("", field(version, "schema", "openAPIV3Schema")).(object)
			if !ok {
				return 0, fmt.Errorf("%s: %s has no schema", crd, kind)
			}
			properties := schema["properties"].(object)
			properties["apiVersion"] = object{"const": group + "/" + text(field(version, "name"))}
			properties["kind"] = object{"const": kind}
			properties["metadata"] = object{"type": "object"}
			if err := write(folder, group, text(field(version, "name")), kind, schema); err != nil {
				return 0, err
			}
			kinds++
		}
	}
	return kinds, nil
}

func write(folder, group, version, kind string, schema object) error {
	if group == "" {
		group = version
	}
	content, err := json.Marshal(schema)
	if err != nil {
		return err
	}
	path := filepath.Join(folder, group, strings.ToLower(kind)+"_"+version+".json")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}

// strict forbids unknown fields, and says of numbers that may be texts, which OpenAPI 2 can't, that they may be both.
func strict(name string, schema any) any {
	switch schema := schema.(type) {
	case []any:
		for index, item := range schema {
			schema[index] = strict("", item)
		}
	case object:
		if schema["format"] == "int-or-string" || schema["x-kubernetes-int-or-string"] == true || strings.HasSuffix(name, ".resource.Quantity") {
			return object{"type": []any{"string", "number"}}
		}
		for key, value := range schema {
			if key != "default" && key != "enum" {
				schema[key] = strict("", value)
			}
		}
		_, open := schema["additionalProperties"]
		if _, known := schema["properties"].(object); known && !open && schema["type"] == "object" {
			schema["additionalProperties"] = false
		}
	}
	return schema
}

// collect gathers the definitions that a schema refers to, and those that these refer to.
func collect(schema any, all, into map[string]object) {
	switch schema := schema.(type) {
	case []any:
		for _, item := range schema {
			collect(item, all, into)
		}
	case object:
		name, found := strings.CutPrefix(text(schema["$ref"]), reference)
		if _, done := into[name]; found && !done {
			into[name] = all[name]
			collect(all[name], all, into)
		}
		for _, key := range slices.Sorted(maps.Keys(schema)) {
			collect(schema[key], all, into)
		}
	}
}

func list(value any) []any {
	items, _ := value.([]any)
	return items
}
