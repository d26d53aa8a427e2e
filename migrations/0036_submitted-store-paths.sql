CREATE TABLE "submissions" (
	"host" text PRIMARY KEY NOT NULL,
	"id" text NOT NULL,
	"repository_id" text NOT NULL,
	"toplevel" text NOT NULL,
	"by" text NOT NULL,
	"reason" text NOT NULL,
	"at" bigint NOT NULL,
	"expires_at" bigint,
	"state" text NOT NULL,
	"sequence" bigint,
	"ended_at" bigint,
	"result" text DEFAULT '' NOT NULL
);
--> statement-breakpoint
ALTER TABLE "releases" ADD COLUMN "is_submitted" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "submissions" ADD CONSTRAINT "submissions_host_hosts_host_fk" FOREIGN KEY ("host") REFERENCES "public"."hosts"("host") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "submissions" ADD CONSTRAINT "submissions_repository_id_repositories_id_fk" FOREIGN KEY ("repository_id") REFERENCES "public"."repositories"("id") ON DELETE no action ON UPDATE no action;