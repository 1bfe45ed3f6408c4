package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"
)

// Series that a histogram has beside its name.
var seriesEnd = regexp.MustCompile(`_(bucket|sum|count)$`)

var (
	metricName  = regexp.MustCompile(`\bsofia_(?:phone|operator)_[a-z0-9_]+`)
	listed      = regexp.MustCompile("(?m)^\\| `(sofia_[a-z0-9_]+)`")
	heading     = regexp.MustCompile(`(?m)^#+ (.+)$`)
	unspoken    = regexp.MustCompile(`[^a-z0-9 -]`)
	dashboardOf = "config/grafana/sofia-phone.json"
	alertsOf    = "config/prometheus/alerts.yaml"
)

// checkRepository finds what has gone out of step between the chart, the bases, the dashboard, the alerts and the documentation.
func checkRepository(root, folder string) error {
	at := func(path string) string { return filepath.Join(root, path) }
	return errors.Join(
		knownMetrics(at),
		operatorSettings(at),
		operatorFigures(at),
		reasons(at),
		runbooks(at),
		images(at),
		checkDockerfiles(at),
		expressions(at(dashboardOf), filepath.Join(folder, "dashboard-rules.yaml")),
	)
}

// knownMetrics: nothing is drawn or alerted on that no process exports.
func knownMetrics(at func(string) string) error {
	known := map[string]bool{}
	for _, path := range []string{"docs/metrics.md", "docs/kubernetes.md"} {
		content, err := os.ReadFile(at(path))
		if err != nil {
			return err
		}
		matches := listed.FindAllStringSubmatch(string(content), -1)
		if len(matches) < 10 {
			return fmt.Errorf("%s lists %d metrics only; has its form changed?", path, len(matches))
		}
		for _, match := range matches {
			known[match[1]] = true
		}
	}
	var problems []error
	for _, path := range []string{dashboardOf, alertsOf} {
		content, err := os.ReadFile(at(path))
		if err != nil {
			return err
		}
		used := metricName.FindAllString(string(content), -1)
		if len(used) == 0 {
			problems = append(problems, fmt.Errorf("%s uses no metric", path))
		}
		for _, name := range used {
			if !known[name] && !known[seriesEnd.ReplaceAllString(name, "")] {
				problems = append(problems, fmt.Errorf("%s uses %s, which neither docs/metrics.md nor docs/kubernetes.md lists", path, name))
			}
		}
	}
	return errors.Join(problems...)
}

// operatorSettings: every variable that is set for the operator is one that it reads. A misspelt one would do nothing.
func operatorSettings(at func(string) string) error {
	source, err := os.ReadFile(at("operator/src/args.rs"))
	if err != nil {
		return err
	}
	variable := regexp.MustCompile(`SOFIA_OPERATOR_[A-Z_]+`)
	var problems []error
	for _, path := range []string{
		"charts/sofia-phone/templates/deployment.yaml", "config/manager/manager.yaml", "config/custom-metrics/manager_patch.yaml", "docs/kubernetes.md",
	} {
		content, err := os.ReadFile(at(path))
		if err != nil {
			return err
		}
		for _, name := range variable.FindAllString(string(content), -1) {
			if !strings.Contains(string(source), `env = "`+name+`"`) {
				problems = append(problems, fmt.Errorf("%s has %s, which the operator does not read", path, name))
			}
		}
	}
	return errors.Join(problems...)
}

// operatorFigures: docs/kubernetes.md lists exactly what the operator registers.
func operatorFigures(at func(string) string) error {
	source, err := os.ReadFile(at("operator/src/metrics/mod.rs"))
	if err != nil {
		return err
	}
	documented, err := os.ReadFile(at("docs/kubernetes.md"))
	if err != nil {
		return err
	}
	registered := regexp.MustCompile(`(?:int_gauge|gauges?|counters?)\(\s*r,\s*"([a-z_]+)"|name\("([a-z_]+)"\)`)
	names := map[string]bool{}
	for _, match := range registered.FindAllStringSubmatch(string(source), -1) {
		names["sofia_operator_"+match[1]+match[2]] = true
	}
	var problems []error
	for _, match := range listed.FindAllStringSubmatch(string(documented), -1) {
		if !names[match[1]] {
			problems = append(problems, fmt.Errorf("docs/kubernetes.md lists %s, which the operator does not export", match[1]))
		}
		delete(names, match[1])
	}
	for name := range names {
		problems = append(problems, fmt.Errorf("docs/kubernetes.md does not list %s", name))
	}
	return errors.Join(problems...)
}

// reasons: each one that a condition can have is explained.
func reasons(at func(string) string) error {
	documented, err := os.ReadFile(at("docs/kubernetes.md"))
	if err != nil {
		return err
	}
	reason := regexp.MustCompile(`(?:=>|Broken\(|yes\(|no\(|unknown\(|Some\(\(|unwrap_or\(\(|push\(\(|\|said\| \()\s*"([A-Z][A-Za-z]+)"`)
	var problems []error
	for _, path := range []string{"conditions.rs", "problem.rs", "trouble.rs"} {
		source, err := os.ReadFile(at("operator/src/controller/status/" + path))
		if err != nil {
			return err
		}
		matches := reason.FindAllStringSubmatch(string(source), -1)
		if len(matches) < 5 {
			return fmt.Errorf("%s has %d reasons only; has its form changed?", path, len(matches))
		}
		for _, match := range matches {
			if word := match[1]; word != "True" && word != "False" && word != "Unknown" && !strings.Contains(string(documented), "`"+word+"`") {
				problems = append(problems, fmt.Errorf("docs/kubernetes.md does not explain the reason %s of %s", word, path))
			}
		}
	}
	return errors.Join(problems...)
}

// runbooks: every alert leads to a heading of its own in docs/alerts.md, with a URL that a browser opens, and every heading there is of an alert.
// Every alert is raised by a test of promtool's.
func runbooks(at func(string) string) error {
	_, charts, err := manifests(at("charts/sofia-phone/Chart.yaml"))
	if err != nil {
		return err
	}
	home := text(field(charts[0], "home"))
	_, tests, err := manifests(at("config/prometheus/alerts.test.yaml"))
	if err != nil {
		return err
	}
	raised := map[string]bool{}
	for _, test := range list(field(tests[0], "tests")) {
		for _, check := range list(field(test, "alert_rule_test")) {
			if len(list(field(check, "exp_alerts"))) > 0 {
				raised[text(field(check, "alertname"))] = true
			}
		}
	}
	content, err := os.ReadFile(at("docs/alerts.md"))
	if err != nil {
		return err
	}
	anchors := map[string]bool{}
	for _, match := range heading.FindAllStringSubmatch(string(content), -1) {
		anchors[strings.ReplaceAll(unspoken.ReplaceAllString(strings.ToLower(match[1]), ""), " ", "-")] = false
	}
	_, objects, err := manifests(at(alertsOf))
	if err != nil {
		return err
	}
	var problems []error
	for _, group := range list(field(objects[0], "groups")) {
		for _, rule := range list(field(group, "rules")) {
			name, runbook := text(field(rule, "alert")), text(field(rule, "annotations", "runbook_url"))
			if expected := home + "/blob/main/docs/alerts.md#" + strings.ToLower(name); runbook != expected {
				problems = append(problems, fmt.Errorf("%s: expected the runbook %s, found %q", name, expected, runbook))
			}
			if _, there := anchors[strings.ToLower(name)]; !there {
				problems = append(problems, fmt.Errorf("docs/alerts.md has no heading %s", name))
			}
			if !raised[name] {
				problems = append(problems, fmt.Errorf("config/prometheus/alerts.test.yaml has no test that raises %s", name))
			}
			anchors[strings.ToLower(name)] = true
		}
	}
	for anchor, used := range anchors {
		if !used && strings.HasPrefix(anchor, "sofiaphone") {
			problems = append(problems, fmt.Errorf("docs/alerts.md explains %s, which is no alert", anchor))
		}
	}
	return errors.Join(problems...)
}

// images: one release has one version everywhere, and nothing is pulled by a tag that moves.
func images(at func(string) string) error {
	content, err := os.ReadFile(at("charts/sofia-phone/Chart.yaml"))
	if err != nil {
		return err
	}
	var chart struct{ Version, AppVersion string }
	if err := yaml.Unmarshal(content, &chart); err != nil {
		return err
	}
	cargo, err := os.ReadFile(at("Cargo.toml"))
	if err != nil {
		return err
	}
	if !strings.Contains(string(cargo), fmt.Sprintf("\nversion = %q\n", chart.AppVersion)) || chart.Version != chart.AppVersion {
		return fmt.Errorf("Chart.yaml says version %s and appVersion %s, Cargo.toml something else", chart.Version, chart.AppVersion)
	}
	var problems []error
	own := regexp.MustCompile(`sofia-phone/(?:operator|dataplane):([0-9A-Za-z.-]+)`)
	for _, path := range []string{"config/manager/manager.yaml", "config/compose/compose.yaml", "config/default/kustomization.yaml"} {
		content, err := os.ReadFile(at(path))
		if err != nil {
			return err
		}
		for _, match := range own.FindAllStringSubmatch(string(content), -1) {
			if strings.TrimSuffix(match[1], "}") != chart.AppVersion {
				problems = append(problems, fmt.Errorf("%s has %s, this is %s", path, match[0], chart.AppVersion))
			}
		}
	}
	return errors.Join(problems...)
}

func pinned(image string) error {
	name := image[strings.LastIndex(image, "/")+1:]
	if tag := name[strings.LastIndexAny(name, ":@")+1:]; tag == name || tag == "latest" {
		return fmt.Errorf("image %s is not of one version", image)
	}
	return nil
}

// expressions writes the dashboard's queries as recording rules, which promtool can check.
func expressions(dashboard, out string) error {
	content, err := os.ReadFile(dashboard)
	if err != nil {
		return err
	}
	var board any
	if err := yaml.Unmarshal(content, &board); err != nil {
		return fmt.Errorf("%s: %w", dashboard, err)
	}
	variables := strings.NewReplacer("$__rate_interval", "1m", "$__range", "1h", "$job", ".+")
	var rules []any
	for _, panel := range list(field(board, "panels")) {
		targets := list(field(panel, "targets"))
		if len(targets) == 0 && text(field(panel, "type")) != "row" {
			return fmt.Errorf("%s: panel %q asks nothing", dashboard, text(field(panel, "title")))
		}
		for _, target := range targets {
			rules = append(rules, object{"record": fmt.Sprintf("dashboard:%d", len(rules)), "expr": variables.Replace(text(field(target, "expr")))})
		}
	}
	encoded, err := yaml.Marshal(object{"groups": []any{object{"name": "dashboard", "rules": rules}}})
	if err != nil {
		return err
	}
	return os.WriteFile(out, encoded, 0o644)
}

// checkDefinition: what the chart does to the CustomResourceDefinition changes its metadata and nothing else.
func checkDefinition(rendered, crd string) error {
	_, originals, err := manifests(crd)
	if err != nil {
		return err
	}
	_, objects, err := manifests(rendered)
	if err != nil {
		return err
	}
	for _, manifest := range objects {
		if manifest["kind"] != "CustomResourceDefinition" {
			continue
		}
		if !reflect.DeepEqual(manifest["spec"], originals[0]["spec"]) {
			return fmt.Errorf("%s: the definition differs from %s", rendered, crd)
		}
		if field(manifest, "metadata", "annotations", "helm.sh/resource-policy") != "keep" {
			return fmt.Errorf("%s: uninstalling would delete every VoiceTrunk", rendered)
		}
		return nil
	}
	return fmt.Errorf("%s has no CustomResourceDefinition", rendered)
}
