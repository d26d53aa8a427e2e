CREATE TABLE "api_tokens" (
	"hash" text PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"created_at" bigint NOT NULL,
	"last_used_at" bigint,
	CONSTRAINT "api_tokens_name_unique" UNIQUE("name")
);
--> statement-breakpoint
CREATE TABLE "audit_log" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "audit_log_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"at" bigint NOT NULL,
	"actor" text NOT NULL,
	"action" text NOT NULL,
	"subject" text NOT NULL,
	"detail" text NOT NULL
);
--> statement-breakpoint
CREATE TABLE "enrolment_tokens" (
	"hash" text PRIMARY KEY NOT NULL,
	"host" text NOT NULL,
	"expires_at" bigint NOT NULL,
	"used_at" bigint
);
--> statement-breakpoint
CREATE TABLE "directives" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "directives_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"host" text NOT NULL,
	"epoch" bigint NOT NULL,
	"release_id" text NOT NULL,
	"mode" text NOT NULL,
	"issued_at" bigint NOT NULL
);
--> statement-breakpoint
CREATE TABLE "hosts" (
	"host" text PRIMARY KEY NOT NULL,
	"repository_id" text NOT NULL,
	"machine_id" text,
	"public_key" text,
	"enrolled_at" bigint,
	"revoked_at" bigint,
	"cloned_at" bigint,
	"desired_release_id" text,
	"desired_toplevel" text,
	"desired_sequence" bigint,
	"desired_since" bigint,
	"epoch" bigint DEFAULT 0 NOT NULL,
	"observed" jsonb,
	"state" text DEFAULT 'IDLE' NOT NULL,
	"state_toplevel" text,
	"state_since" bigint,
	"state_seq" bigint DEFAULT 0 NOT NULL,
	"detail" jsonb,
	"timings" jsonb,
	"is_connected" boolean DEFAULT false NOT NULL,
	"session_id" text,
	"boot_id" text,
	"last_seen_at" bigint,
	"agent_version" text,
	"system" text,
	"report_series" bigint DEFAULT 0 NOT NULL,
	"report_seq" bigint DEFAULT 0 NOT NULL
);
--> statement-breakpoint
CREATE TABLE "pins" (
	"host" text NOT NULL,
	"kind" text NOT NULL,
	"release_id" text NOT NULL,
	"reason" text NOT NULL,
	"by" text NOT NULL,
	"created_at" bigint NOT NULL,
	"expires_at" bigint,
	CONSTRAINT "pins_host_kind_pk" PRIMARY KEY("host","kind")
);
--> statement-breakpoint
CREATE TABLE "quarantines" (
	"host" text NOT NULL,
	"toplevel" text NOT NULL,
	"reason" text NOT NULL,
	"created_at" bigint NOT NULL,
	CONSTRAINT "quarantines_host_toplevel_pk" PRIMARY KEY("host","toplevel")
);
--> statement-breakpoint
CREATE TABLE "reports" (
	"host" text NOT NULL,
	"series" bigint NOT NULL,
	"seq" bigint NOT NULL,
	"epoch" bigint NOT NULL,
	"state" text NOT NULL,
	"toplevel" text,
	"observed" jsonb NOT NULL,
	"detail" jsonb,
	"timings" jsonb,
	"at" bigint NOT NULL,
	"received_at" bigint NOT NULL,
	CONSTRAINT "reports_host_series_seq_pk" PRIMARY KEY("host","series","seq")
);
--> statement-breakpoint
CREATE TABLE "status_outbox" (
	"id" text PRIMARY KEY DEFAULT gen_random_uuid()::text NOT NULL,
	"repository_id" text NOT NULL,
	"sha" text NOT NULL,
	"context" text NOT NULL,
	"state" text NOT NULL,
	"description" text NOT NULL,
	"target_url" text NOT NULL,
	"version" bigint DEFAULT 1 NOT NULL,
	"sent_version" bigint DEFAULT 0 NOT NULL,
	"attempts" integer DEFAULT 0 NOT NULL,
	"due_at" bigint,
	"last_error" text,
	"updated_at" bigint NOT NULL,
	CONSTRAINT "status_outbox_status" UNIQUE("repository_id","sha","context")
);
--> statement-breakpoint
CREATE TABLE "evaluations" (
	"revision_id" text NOT NULL,
	"host" text NOT NULL,
	"outcome" text NOT NULL,
	"drv_path" text,
	"toplevel" text,
	"system" text,
	"error" text,
	"evaluate_ms" bigint,
	"build_ms" bigint,
	"built_at" bigint,
	"nar_hash" text,
	"closure_size_bytes" bigint,
	CONSTRAINT "evaluations_revision_id_host_pk" PRIMARY KEY("revision_id","host")
);
--> statement-breakpoint
CREATE TABLE "repositories" (
	"id" text PRIMARY KEY DEFAULT gen_random_uuid()::text NOT NULL,
	"url" text NOT NULL,
	"branch" text NOT NULL,
	"created_at" bigint NOT NULL,
	"accepted_commit" text,
	"sequence" bigint DEFAULT 0 NOT NULL,
	"hint_count" bigint DEFAULT 0 NOT NULL,
	"last_fetch_at" bigint,
	"problem_code" text,
	"problem_message" text,
	"problem_since" bigint,
	"held_commit" text,
	"held_reason" text,
	"held_since" bigint,
	"allowed_commit" text,
	"lease_owner" text,
	"lease_expires_at" bigint,
	CONSTRAINT "repositories_url_branch" UNIQUE("url","branch")
);
--> statement-breakpoint
CREATE TABLE "revisions" (
	"id" text PRIMARY KEY DEFAULT gen_random_uuid()::text NOT NULL,
	"repository_id" text NOT NULL,
	"sha" text NOT NULL,
	"sequence" bigint NOT NULL,
	"state" text NOT NULL,
	"error" text,
	"subject" text NOT NULL,
	"author_name" text NOT NULL,
	"author_email" text NOT NULL,
	"committed_at" bigint NOT NULL,
	"received_at" bigint NOT NULL,
	"fetched_at" bigint,
	"verified_at" bigint,
	"evaluated_at" bigint,
	"built_at" bigint,
	"published_at" bigint,
	CONSTRAINT "revisions_sequence" UNIQUE("repository_id","sequence")
);
--> statement-breakpoint
CREATE TABLE "webhook_deliveries" (
	"forge" text NOT NULL,
	"id" text NOT NULL,
	"event" text NOT NULL,
	"repository_id" text,
	"ref" text,
	"after" text,
	"outcome" text NOT NULL,
	"received_at" bigint NOT NULL,
	CONSTRAINT "webhook_deliveries_forge_id_pk" PRIMARY KEY("forge","id")
);
--> statement-breakpoint
CREATE TABLE "freshness" (
	"repository_id" text PRIMARY KEY NOT NULL,
	"envelope" text NOT NULL,
	"sequence" bigint NOT NULL,
	"as_of" bigint NOT NULL
);
--> statement-breakpoint
CREATE TABLE "releases" (
	"id" text PRIMARY KEY DEFAULT gen_random_uuid()::text NOT NULL,
	"repository_id" text NOT NULL,
	"revision_id" text,
	"host" text NOT NULL,
	"sequence" bigint NOT NULL,
	"toplevel" text NOT NULL,
	"commit" text NOT NULL,
	"issued_at" bigint NOT NULL,
	"envelope" text NOT NULL,
	CONSTRAINT "releases_host_sequence" UNIQUE("host","sequence")
);
--> statement-breakpoint
CREATE TABLE "rollouts" (
	"id" text PRIMARY KEY DEFAULT gen_random_uuid()::text NOT NULL,
	"revision_id" text NOT NULL,
	"state" text NOT NULL,
	"started_at" bigint NOT NULL,
	"completed_at" bigint,
	CONSTRAINT "rollouts_revision_id_unique" UNIQUE("revision_id")
);
--> statement-breakpoint
ALTER TABLE "directives" ADD CONSTRAINT "directives_host_hosts_host_fk" FOREIGN KEY ("host") REFERENCES "public"."hosts"("host") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "directives" ADD CONSTRAINT "directives_release_id_releases_id_fk" FOREIGN KEY ("release_id") REFERENCES "public"."releases"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "hosts" ADD CONSTRAINT "hosts_repository_id_repositories_id_fk" FOREIGN KEY ("repository_id") REFERENCES "public"."repositories"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "hosts" ADD CONSTRAINT "hosts_desired_release_id_releases_id_fk" FOREIGN KEY ("desired_release_id") REFERENCES "public"."releases"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "pins" ADD CONSTRAINT "pins_host_hosts_host_fk" FOREIGN KEY ("host") REFERENCES "public"."hosts"("host") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "pins" ADD CONSTRAINT "pins_release_id_releases_id_fk" FOREIGN KEY ("release_id") REFERENCES "public"."releases"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "quarantines" ADD CONSTRAINT "quarantines_host_hosts_host_fk" FOREIGN KEY ("host") REFERENCES "public"."hosts"("host") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "status_outbox" ADD CONSTRAINT "status_outbox_repository_id_repositories_id_fk" FOREIGN KEY ("repository_id") REFERENCES "public"."repositories"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "evaluations" ADD CONSTRAINT "evaluations_revision_id_revisions_id_fk" FOREIGN KEY ("revision_id") REFERENCES "public"."revisions"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "revisions" ADD CONSTRAINT "revisions_repository_id_repositories_id_fk" FOREIGN KEY ("repository_id") REFERENCES "public"."repositories"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "webhook_deliveries" ADD CONSTRAINT "webhook_deliveries_repository_id_repositories_id_fk" FOREIGN KEY ("repository_id") REFERENCES "public"."repositories"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "freshness" ADD CONSTRAINT "freshness_repository_id_repositories_id_fk" FOREIGN KEY ("repository_id") REFERENCES "public"."repositories"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "releases" ADD CONSTRAINT "releases_repository_id_repositories_id_fk" FOREIGN KEY ("repository_id") REFERENCES "public"."repositories"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "releases" ADD CONSTRAINT "releases_revision_id_revisions_id_fk" FOREIGN KEY ("revision_id") REFERENCES "public"."revisions"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "rollouts" ADD CONSTRAINT "rollouts_revision_id_revisions_id_fk" FOREIGN KEY ("revision_id") REFERENCES "public"."revisions"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "directives_host" ON "directives" USING btree ("host","epoch");--> statement-breakpoint
CREATE INDEX "hosts_repository" ON "hosts" USING btree ("repository_id");--> statement-breakpoint
CREATE INDEX "hosts_public_key" ON "hosts" USING btree ("public_key");--> statement-breakpoint
CREATE INDEX "reports_received" ON "reports" USING btree ("received_at");--> statement-breakpoint
CREATE INDEX "status_outbox_due" ON "status_outbox" USING btree ("due_at");--> statement-breakpoint
CREATE INDEX "webhook_deliveries_commit" ON "webhook_deliveries" USING btree ("repository_id","after");--> statement-breakpoint
CREATE INDEX "webhook_deliveries_received" ON "webhook_deliveries" USING btree ("received_at");--> statement-breakpoint
CREATE INDEX "releases_repository" ON "releases" USING btree ("repository_id","host","sequence");--> statement-breakpoint
CREATE INDEX "releases_revision" ON "releases" USING btree ("revision_id");