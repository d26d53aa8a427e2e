CREATE TABLE "acknowledgements" (
	"host" text NOT NULL,
	"toplevel" text NOT NULL,
	"by" text NOT NULL,
	"reason" text NOT NULL,
	"at" bigint NOT NULL,
	CONSTRAINT "acknowledgements_host_toplevel_pk" PRIMARY KEY("host","toplevel")
);
--> statement-breakpoint
CREATE TABLE "freezes" (
	"repository_id" text PRIMARY KEY NOT NULL,
	"by" text NOT NULL,
	"reason" text NOT NULL,
	"at" bigint NOT NULL,
	"until" bigint
);
--> statement-breakpoint
CREATE TABLE "rollout_orders" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "rollout_orders_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"rollout_id" text NOT NULL,
	"kind" text NOT NULL,
	"subject" bigint DEFAULT 0 NOT NULL,
	"by" text NOT NULL,
	"role" text NOT NULL,
	"reason" text NOT NULL,
	"at" bigint NOT NULL
);
--> statement-breakpoint
ALTER TABLE "hosts" ADD COLUMN "stable_release_id" text;--> statement-breakpoint
ALTER TABLE "hosts" ADD COLUMN "went_toplevel" text;--> statement-breakpoint
ALTER TABLE "hosts" ADD COLUMN "went_until" bigint;--> statement-breakpoint
ALTER TABLE "rollouts" ADD COLUMN "ring" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "rollouts" ADD COLUMN "since" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "rollouts" ADD COLUMN "ring_since" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "rollouts" ADD COLUMN "pause" jsonb;--> statement-breakpoint
ALTER TABLE "rollouts" ADD COLUMN "proved_ring" bigint;--> statement-breakpoint
ALTER TABLE "rollouts" ADD COLUMN "rings" jsonb;--> statement-breakpoint
ALTER TABLE "rollouts" ADD COLUMN "version" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "acknowledgements" ADD CONSTRAINT "acknowledgements_host_hosts_host_fk" FOREIGN KEY ("host") REFERENCES "public"."hosts"("host") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "freezes" ADD CONSTRAINT "freezes_repository_id_repositories_id_fk" FOREIGN KEY ("repository_id") REFERENCES "public"."repositories"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "rollout_orders" ADD CONSTRAINT "rollout_orders_rollout_id_rollouts_id_fk" FOREIGN KEY ("rollout_id") REFERENCES "public"."rollouts"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "rollout_orders_rollout" ON "rollout_orders" USING btree ("rollout_id");--> statement-breakpoint
ALTER TABLE "hosts" ADD CONSTRAINT "hosts_stable_release_id_releases_id_fk" FOREIGN KEY ("stable_release_id") REFERENCES "public"."releases"("id") ON DELETE no action ON UPDATE no action;
--> statement-breakpoint
UPDATE "hosts" SET "stable_release_id" = (
	SELECT r."id" FROM "releases" r
	WHERE r."repository_id" = "hosts"."repository_id" AND r."host" = "hosts"."host" AND r."sequence" >= 0 AND r."sequence" <= (
		SELECT max(v."sequence") FROM "rollouts" o JOIN "revisions" v ON v."id" = o."revision_id"
		WHERE o."state" = 'COMPLETE' AND v."repository_id" = "hosts"."repository_id"
	)
	ORDER BY r."sequence" DESC LIMIT 1
);
