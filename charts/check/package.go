package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
	"sigs.k8s.io/yaml"
)

type chartFile struct {
	Name, Version, AppVersion, Description, KubeVersion, Home string
	Keywords                                                  []string
	Annotations                                               map[string]string
}

const generated = "# Written by `charts/check.sh --write`.\n"

// writePackage writes what others' catalogues read: the chart's README and the bundle for Operator Lifecycle Manager.
func writePackage(root, rendered, folder string) error {
	content, err := os.ReadFile(filepath.Join(root, "charts/sofia-phone/Chart.yaml"))
	if err != nil {
		return err
	}
	var chart chartFile
	if err := yaml.Unmarshal(content, &chart); err != nil {
		return err
	}
	readme, err := chartReadme(root, chart)
	if err != nil {
		return err
	}
	files := map[string]string{"charts/sofia-phone/README.md": readme}
	if err := bundle(root, rendered, chart, files); err != nil {
		return err
	}
	for path, text := range files {
		path = filepath.Join(folder, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// chartReadme lists every value of the schema: what it may be, what it is by itself, and what values.yaml says of it.
func chartReadme(root string, chart chartFile) (string, error) {
	content, err := os.ReadFile(filepath.Join(root, "charts/sofia-phone/values.schema.json"))
	if err != nil {
		return "", err
	}
	var schema object
	if err := json.Unmarshal(content, &schema); err != nil {
		return "", err
	}
	values, err := os.ReadFile(filepath.Join(root, "charts/sofia-phone/values.yaml"))
	if err != nil {
		return "", err
	}
	tree, err := kyaml.Parse(string(values))
	if err != nil {
		return "", err
	}
	rows, err := valueRows(schema, tree.YNode(), "")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf(`<!-- Written by charts/check.sh --write from Chart.yaml, values.schema.json and values.yaml. -->
# %s

%s. Chart %s, Kubernetes %s. What it installs and how a line is made with it: [Kubernetes](%s/blob/main/docs/kubernetes.md).

`+"```"+`
helm install sofia-phone charts/sofia-phone --namespace sofia-phone-system --create-namespace
helm test sofia-phone --namespace sofia-phone-system
`+"```"+`

| value | what it may be | by itself | |
|---|---|---|---|
%s
A misspelt value is an error.
`, chart.Name, chart.Description, chart.Version, chart.KubeVersion, chart.Home, strings.Join(rows, "\n")+"\n"), nil
}

// valueRows walks values.yaml in its order; a value that only one of the two files knows is an error.
func valueRows(schema object, values *kyaml.Node, path string) ([]string, error) {
	properties, _ := schema["properties"].(object)
	var rows []string
	var problems []error
	seen := map[string]bool{}
	for index := 0; index+1 < len(values.Content); index += 2 {
		key, value := values.Content[index], values.Content[index+1]
		name := strings.TrimPrefix(path+"."+key.Value, ".")
		property, there := properties[key.Value].(object)
		if !there {
			problems = append(problems, fmt.Errorf("values.schema.json does not know %s", name))
			continue
		}
		seen[key.Value] = true
		said := comment(key)
		_, opens := property["properties"]
		if opens && value.Kind == kyaml.MappingNode && key.Value != "resources" {
			inner, err := valueRows(property, value, name)
			problems = append(problems, err)
			if said != "" {
				rows = append(rows, fmt.Sprintf("| `%s` | | | %s |", name, said))
			}
			rows = append(rows, inner...)
			continue
		}
		plain, err := kyaml.NewRNode(value).MarshalJSON()
		if value.Kind == kyaml.ScalarNode {
			plain, err = json.Marshal(scalar(value))
		}
		problems = append(problems, err)
		rows = append(rows, fmt.Sprintf("| `%s` | %s | `%s` | %s |", name, allowed(property), plain, said))
	}
	for name := range properties {
		if !seen[name] && !(path == "" && name == "global") {
			problems = append(problems, fmt.Errorf("values.yaml has no %s.%s, which values.schema.json knows", path, name))
		}
	}
	return rows, errors.Join(problems...)
}

func scalar(node *kyaml.Node) any {
	var value any
	if node.Decode(&value) != nil {
		return node.Value
	}
	return value
}

// comment is what stands above a value, as one line of a table.
func comment(key *kyaml.Node) string {
	var words []string
	for _, line := range strings.Split(key.HeadComment, "\n") {
		if line = strings.TrimSpace(strings.TrimLeft(strings.TrimSpace(line), "#")); line != "" {
			words = append(words, line)
		}
	}
	return strings.ReplaceAll(strings.Join(words, " "), "|", `\|`)
}

func allowed(property object) string {
	if choices := list(property["enum"]); choices != nil {
		var words []string
		for _, choice := range choices {
			words = append(words, fmt.Sprintf("`%v`", choice))
		}
		return strings.Join(words, ", ")
	}
	kind := text(property["type"])
	least, most := property["minimum"], property["maximum"]
	switch {
	case least != nil && most != nil:
		return fmt.Sprintf("%s, %.0f to %.0f", kind, least, most)
	case property["minLength"] != nil:
		return kind + ", not empty"
	}
	return kind
}

// bundle writes what Operator Lifecycle Manager installs: the objects that the chart makes by itself, in the form that it wants them in.
func bundle(root, rendered string, chart chartFile, files map[string]string) error {
	_, objects, err := manifests(rendered)
	if err != nil {
		return err
	}
	definition, err := os.ReadFile(filepath.Join(root, "crds/voicetrunk.yaml"))
	if err != nil {
		return err
	}
	var crd object
	if err := yaml.Unmarshal(definition, &crd); err != nil {
		return err
	}
	_, samples, err := manifests(filepath.Join(root, "config/samples/minimal.yaml"))
	if err != nil {
		return err
	}
	examples, err := json.Marshal(samples)
	if err != nil {
		return err
	}
	icon, err := os.ReadFile(filepath.Join(root, "docs/icon.svg"))
	if err != nil {
		return err
	}
	const folder = "config/olm/manifests/"
	var deployments, permissions, clusterPermissions []any
	account, image := "", ""
	for _, manifest := range objects {
		if manifest["kind"] == "Deployment" {
			account = text(field(manifest, "spec", "template", "spec", "serviceAccountName"))
		}
	}
	for _, manifest := range objects {
		withoutHelmsOwn(manifest)
		metadata := manifest["metadata"].(object)
		name, labels := text(metadata["name"]), metadata["labels"]
		delete(metadata, "namespace")
		granted := object{"serviceAccountName": account, "rules": manifest["rules"]}
		switch kind := text(manifest["kind"]); kind {
		case "Deployment":
			containers := list(field(manifest, "spec", "template", "spec", "containers"))
			image = text(field(containers[0], "image"))
			deployments = append(deployments, object{"name": name, "label": labels, "spec": manifest["spec"]})
		case "Role":
			permissions = append(permissions, granted)
		case "ClusterRole":
			if !strings.Contains(name, "-voicetrunk-") {
				clusterPermissions = append(clusterPermissions, granted)
				continue
			}
			fallthrough
		case "Service", "PodDisruptionBudget":
			content, err := yaml.Marshal(manifest)
			if err != nil {
				return err
			}
			files[folder+name+"."+strings.ToLower(kind)+".yaml"] = generated + string(content)
		case "CustomResourceDefinition", "ServiceAccount", "ClusterRoleBinding", "RoleBinding":
			// The first is crdgen's; the others are made from the permissions.
		case "NetworkPolicy", "Pod":
			// No kind that every version takes; the test of helm.
		default:
			return fmt.Errorf("what becomes of a %s in the bundle is not said", kind)
		}
	}
	if len(deployments) != 1 || len(permissions) != 1 || len(clusterPermissions) != 2 {
		return fmt.Errorf("expected one Deployment, one Role and two ClusterRoles, found %d, %d, %d", len(deployments), len(permissions), len(clusterPermissions))
	}
	var modes []any
	for _, mode := range []string{"OwnNamespace", "SingleNamespace", "MultiNamespace", "AllNamespaces"} {
		modes = append(modes, object{"type": mode, "supported": mode == "AllNamespaces"})
	}
	least, _, _ := strings.Cut(strings.TrimPrefix(chart.KubeVersion, ">="), "-")
	version := text(field(list(field(crd, "spec", "versions"))[0], "name"))
	csv := object{
		"apiVersion": "operators.coreos.com/v1alpha1",
		"kind":       "ClusterServiceVersion",
		"metadata": object{
			"name": chart.Name + ".v" + chart.AppVersion,
			"annotations": object{
				"alm-examples":   string(examples),
				"capabilities":   chart.Annotations["artifacthub.io/operatorCapabilities"],
				"categories":     "AI/Machine Learning, Networking",
				"containerImage": image,
				"description":    chart.Description,
				"repository":     chart.Home,
			},
		},
		"spec": object{
			"displayName":    "Sofia Phone",
			"description":    chart.Description + ". Its page: " + chart.Home + "/blob/main/docs/kubernetes.md",
			"version":        chart.AppVersion,
			"minKubeVersion": least,
			"maturity":       "alpha",
			"keywords":       chart.Keywords,
			"icon":           []any{object{"base64data": base64.StdEncoding.EncodeToString(icon), "mediatype": "image/svg+xml"}},
			"provider":       object{"name": "Sofia Phone", "url": chart.Home},
			"links":          []any{object{"name": "Sources", "url": chart.Home}},
			"installModes":   modes,
			"customresourcedefinitions": object{"owned": []any{object{
				"name": field(crd, "metadata", "name"), "kind": field(crd, "spec", "names", "kind"), "version": version,
				"displayName": "VoiceTrunk", "description": "A telephone line that is answered by voice agents.",
			}}},
			"install": object{"strategy": "deployment", "spec": object{
				"deployments": deployments, "permissions": permissions, "clusterPermissions": clusterPermissions,
			}},
		},
	}
	content, err := yaml.Marshal(csv)
	if err != nil {
		return err
	}
	files[folder+chart.Name+".clusterserviceversion.yaml"] = generated + string(content)
	annotations := map[string]string{
		"mediatype.v1": "registry+v1", "manifests.v1": "manifests/", "metadata.v1": "metadata/", "package.v1": chart.Name,
		"channels.v1": "alpha", "channel.default.v1": "alpha",
	}
	var lines, labels []string
	for key, value := range annotations {
		lines = append(lines, fmt.Sprintf("  operators.operatorframework.io.bundle.%s: %s\n", key, value))
		labels = append(labels, fmt.Sprintf("LABEL operators.operatorframework.io.bundle.%s=%s\n", key, value))
	}
	slices.Sort(lines)
	slices.Sort(labels)
	files["config/olm/metadata/annotations.yaml"] = generated + "annotations:\n" + strings.Join(lines, "")
	files["config/olm/Dockerfile"] = generated + "# Of the whole checkout: docker build -f config/olm/Dockerfile .\nFROM scratch\n" + strings.Join(labels, "") + "COPY config/olm/manifests crds/voicetrunk.yaml /manifests/\nCOPY config/olm/metadata /metadata/\n"
	files["config/olm/Dockerfile.dockerignore"] = generated + "*\n!config/olm\n!crds/voicetrunk.yaml\n"
	return nil
}
